import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { Response } from 'express';
import { allEvents, type EventQuery, listEvents } from '../../db/events/list.ts';
import { boundsOf, type Event, isLost } from '../../db/events/log.ts';
import type { Db } from '../../db/store.ts';
import type { Context } from '../context.ts';
import { HttpError } from '../errors.ts';
import { eventOf } from './shape.ts';
import { Signal } from './signal.ts';

/** Some proxies close a connection that is silent for a minute. */
const heartbeatMilliseconds = 15_000;

/** A client that reads nothing for this long is disconnected. */
const readDeadlineMilliseconds = 60_000;

/** The pause between two reads of the log, so that events in quick succession are sent together. */
const pauseMilliseconds = 50;

const batchSize = 100;

type StreamFilter = Pick<EventQuery, 'ownerId' | 'kinds' | 'sandboxId'>;

/**
 * Sends events as server-sent events (WHATWG HTML, 9.2): those that follow the sequence number
 * `after`; with null, those recorded from now on. The stream ends when the client disconnects, when
 * the server stops, or when `isAdmitted`, asked before each batch and heartbeat, says that the
 * credential is no longer valid. Events are read only after the client has taken the ones before:
 * the log is the buffer. Throws HttpError 503 when the server is already stopping.
 */
export async function streamEvents(
  { store: { db }, feed }: Pick<Context, 'store' | 'feed'>,
  res: Response,
  filter: StreamFilter,
  after: number | null,
  isAdmitted: () => Promise<boolean>,
): Promise<void> {
  const signal = new Signal();
  const ended = new AbortController();
  res.once('close', () => ended.abort());
  const unsubscribe = feed.subscribe(filter.ownerId, () => (feed.isClosed ? ended.abort() : signal.notify()));
  if (feed.isClosed) ended.abort();
  ended.signal.addEventListener('abort', () => signal.notify());
  let isHeartbeatDue = false;
  const heartbeat = setInterval(() => {
    isHeartbeatDue = true;
    signal.notify();
  }, heartbeatMilliseconds).unref();
  try {
    let seq = after ?? (await boundsOf(db)).last;
    if (ended.signal.aborted) throw new HttpError(503, 'The server is stopping', { 'Retry-After': '1' });
    writeHead(res, after === null ? seq : null);
    let text = '';
    let hasMore = true;
    while ((text === '' || (await isAdmitted())) && (await send(res, text, ended))) {
      if (!hasMore) {
        await delay(pauseMilliseconds);
        await signal.wait();
      }
      if (ended.signal.aborted) break;
      signal.clear();
      ({ text, seq, hasMore } = await readBatch(db, filter, seq));
      if (text === '' && isHeartbeatDue) text = `: heartbeat\nid: ${seq}\n\n`;
      isHeartbeatDue = false;
    }
  } finally {
    clearInterval(heartbeat);
    unsubscribe();
    // A client that does not read would keep the connection open for ever.
    if (res.writableNeedDrain) res.destroy();
    else if (res.headersSent) res.end();
  }
}

/**
 * Sends the headers and the first bytes. A new stream begins with the sequence number from which it
 * continues, so that a client that is disconnected before the first event can resume there.
 */
function writeHead(res: Response, startSeq: number | null): void {
  // Tells nginx not to buffer the stream (its documentation, "X-Accel-Buffering").
  res.set({ 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' });
  res.write(startSeq === null ? ':\n\n' : `id: ${startSeq}\n\n`);
}

/**
 * Resolves when the response has room for more; to false when the client is gone or does not read.
 */
async function send(res: Response, text: string, ended: AbortController): Promise<boolean> {
  if (ended.signal.aborted) return false;
  if (text === '' || res.write(text)) return true;
  const deadline = setTimeout(() => ended.abort(), readDeadlineMilliseconds);
  try {
    await once(res, 'drain', { signal: ended.signal });
    return true;
  } catch {
    return false;
  } finally {
    clearTimeout(deadline);
  }
}

type Batch = { text: string; seq: number; hasMore: boolean };

/**
 * Returns the text of the next events that match the filter, which may be empty, and the sequence
 * number up to which the log was read.
 */
async function readBatch(db: Db, filter: StreamFilter, seq: number): Promise<Batch> {
  const { last } = await boundsOf(db);
  const after = Math.min(seq, last);
  const { events, next } = await listEvents(db, { ...allEvents, ...filter, after, limit: batchSize });
  // Checked after reading, because old events may be deleted in the meantime.
  const gap = isLost(await boundsOf(db), seq) ? gapText(after) : '';
  const end = events.at(-1)?.seq ?? after;
  const hasMore = next !== null;
  return { text: gap + events.map(eventText).join(''), seq: hasMore ? end : Math.max(end, last), hasMore };
}

function eventText(event: Event): string {
  return `id: ${event.seq}\nevent: ${event.kind}\ndata: ${JSON.stringify(eventOf(event))}\n\n`;
}

/** The contract describes `stream.gap` at `/v1/events`. */
function gapText(seq: number): string {
  const data = { detail: 'Events may be missing here: they were deleted, or the database was replaced' };
  return `id: ${seq}\nevent: stream.gap\ndata: ${JSON.stringify(data)}\n\n`;
}
