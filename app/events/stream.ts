import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Response } from 'express';
import { allEvents, boundsOf, type Event, type EventQuery, isLost, listEvents } from '../../db/events/log.ts';
import type { Db } from '../../db/store.ts';
import type { Context } from '../context.ts';
import { HttpError } from '../errors.ts';
import { eventOf } from './shape.ts';

/** Some proxies cut a connection that says nothing for a minute. */
const heartbeatMilliseconds = 15_000;

/** A client that takes nothing for so long is gone. */
const patienceMilliseconds = 60_000;

/** Between two readings: of events that come one by one all but the first are sent together. */
const pauseMilliseconds = 50;

const batchSize = 100;

type Wanted = Pick<EventQuery, 'ownerId' | 'kinds' | 'sandboxId'>;

/**
 * Sends the events behind a place, or from now on, as server-sent events (WHATWG HTML, 9.2) until the client goes, the
 * server stops or `isAdmitted` says, before events and heartbeats, that the credential is no longer valid. What the client
 * has not taken yet is not read yet: the log is the buffer. Throws HttpError 503 where the server stops already.
 */
export async function streamEvents(
  { store: { db }, feed }: Pick<Context, 'store' | 'feed'>,
  res: Response,
  wanted: Wanted,
  from: number | null,
  isAdmitted: () => Promise<boolean>,
): Promise<void> {
  const bell = new Bell();
  const over = new AbortController();
  res.once('close', () => over.abort());
  const unsubscribe = feed.subscribe(wanted.ownerId, () => (feed.isClosed ? over.abort() : bell.ring()));
  if (feed.isClosed) over.abort();
  over.signal.addEventListener('abort', () => bell.ring());
  let isBeatDue = false;
  const heart = setInterval(() => {
    isBeatDue = true;
    bell.ring();
  }, heartbeatMilliseconds);
  heart.unref();
  try {
    let place = from ?? (await boundsOf(db)).last;
    if (over.signal.aborted) throw new HttpError(503, 'The server is stopping', { 'Retry-After': '1' });
    // Whoever buffers what passes through would hold events back (nginx, "X-Accel-Buffering").
    res.set({ 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
    // No event has come, but a client that is cut off before the first one knows where to go on.
    res.write(from === null ? `id: ${place}\n\n` : ':\n\n');
    let text = '';
    let hasMore = true;
    while ((text === '' || (await isAdmitted())) && (await send(res, text, over))) {
      if (!hasMore) {
        await delay(pauseMilliseconds);
        await bell.rings();
      }
      if (over.signal.aborted) break;
      bell.hush();
      ({ text, place, hasMore } = await stepBehind(db, wanted, place));
      if (text === '' && isBeatDue) text = `: heartbeat\nid: ${place}\n\n`;
      isBeatDue = false;
    }
  } finally {
    clearInterval(heart);
    unsubscribe();
    // What the client doesn't take would keep the connection open.
    if (res.writableNeedDrain) res.destroy();
    else if (res.headersSent) res.end();
  }
}

/** Returns whether the client has taken the text, or has room for it. */
async function send(res: Response, text: string, over: AbortController): Promise<boolean> {
  if (over.signal.aborted) return false;
  if (text === '' || res.write(text)) return true;
  const timer = setTimeout(() => over.abort(), patienceMilliseconds);
  try {
    await once(res, 'drain', { signal: over.signal });
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

type Step = { text: string; place: number; hasMore: boolean };

/** Returns the next events as text, and the place to go on from, whether or not there was one for this stream. */
async function stepBehind(db: Db, wanted: Wanted, place: number): Promise<Step> {
  const { last } = await boundsOf(db);
  const after = Math.min(place, last);
  const { events, hasMore } = await listEvents(db, { ...allEvents, ...wanted, after, limit: batchSize });
  // Asked last: old events are deleted meanwhile.
  const gap = isLost(await boundsOf(db), place) ? gapText(after) : '';
  const end = events.at(-1)?.seq ?? after;
  return { text: gap + events.map(eventText).join(''), place: hasMore ? end : Math.max(end, last), hasMore };
}

function eventText(event: Event): string {
  return `id: ${event.seq}\nevent: ${event.kind}\ndata: ${JSON.stringify(eventOf(event))}\n\n`;
}

/** The contract's description of the stream names it. */
function gapText(place: number): string {
  const data = { detail: 'Events may be missing here: they were deleted, or the database was replaced' };
  return `id: ${place}\nevent: stream.gap\ndata: ${JSON.stringify(data)}\n\n`;
}

/** Is rung while nobody may be waiting. */
class Bell {
  #isRung = false;
  #answer = () => {};

  ring(): void {
    this.#isRung = true;
    this.#answer();
  }

  hush(): void {
    this.#isRung = false;
  }

  /** Resolves when it is rung, at once where it has been since it was hushed. */
  async rings(): Promise<void> {
    if (this.#isRung) return;
    await new Promise<void>((resolve) => {
      this.#answer = resolve;
    });
  }
}
