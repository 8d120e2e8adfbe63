import { addDelivery } from '../../db/deliveries.ts';
import { matchesKind } from '../../db/event-kinds.ts';
import { allEvents, type Event, listEvents } from '../../db/event-log.ts';
import type { Clock } from '../../db/lifecycle.ts';
import { type Db, type Trx, write } from '../../db/sqlite.ts';
import { findEndpoint, noteSeen, wantedNext } from '../../db/webhooks.ts';
import { eventOf } from '../events.ts';

/** Events that are looked at in one step. */
const eventsInStep = 200;

/** How much of the log is kept for the next endpoint of an owner. */
const pagesKept = 4;

/** After so many that don't concern an endpoint it is noted that it has seen them: noting each would cost a write each. */
const noteAfter = 1000;

/** Makes messages of the events that endpoints want, each once. */
export class Collector {
  readonly #db: Db;
  readonly #now: Clock;
  /** What endpoints have been found not to want, beyond what is noted. */
  readonly #scanned = new Map<string, number>();
  readonly #read = new Map<string, EventPage>();

  constructor(db: Db, now: Clock) {
    this.#db = db;
    this.#now = now;
  }

  forget(): void {
    this.#scanned.clear();
  }

  /** Has it read the log again: within one look several endpoints of an owner want the same part of it. */
  readAnew(): void {
    this.#read.clear();
  }

  /** Says whether there is an event that has not been looked at for the endpoint. */
  isBehind({ id, newestSeq }: { id: string; newestSeq: number }): boolean {
    return (this.#scanned.get(id) ?? 0) < newestSeq;
  }

  /** Looks at the next events for an endpoint; returns whether there may be more. */
  async step(id: string): Promise<boolean> {
    // In one transaction: what is wanted may change at any time, for what happens from then on.
    const step = await write(this.#db, (trx) => this.#stepIn(trx, id));
    if (!step) return false;
    this.#scanned.set(id, step.seen);
    return step.hasMore;
  }

  async #stepIn(trx: Trx, id: string): Promise<{ seen: number; hasMore: boolean } | undefined> {
    const endpoint = await findEndpoint(trx, id);
    const next = endpoint && wantedNext(endpoint);
    if (!next) return undefined;
    const { seenSeq, ownerId, oldPatterns } = endpoint;
    const from = Math.max(seenSeq, this.#scanned.get(id) ?? 0);
    const page = next.patterns.length > 0 ? await this.#eventsBehind(trx, ownerId, from) : nothing;
    const events = page.events.filter(({ seq }) => seq <= next.until);
    const wanted = events.filter(({ kind }) => next.patterns.some((pattern) => matchesKind(pattern, kind)));
    for (const event of wanted) {
      await addDelivery(trx, this.#now(), id, { eventSeq: event.seq, kind: event.kind, body: bodyOf(event) });
    }
    const isPassed = next.patterns.length === 0 || page.events.length > events.length;
    const seen = isPassed ? next.until : (events.at(-1)?.seq ?? from);
    if (wanted.length > 0 || oldPatterns.length > 0 || seen - seenSeq > noteAfter) await noteSeen(trx, endpoint, seen);
    return { seen, hasMore: seen > from && (page.hasMore || oldPatterns.length > 0) };
  }

  async #eventsBehind(trx: Trx, ownerId: number, after: number): Promise<EventPage> {
    const part = `${ownerId} ${after}`;
    const page = this.#read.get(part) ?? (await listEvents(trx, { ...allEvents, ownerId, after, limit: eventsInStep }));
    // Whoever has much to catch up on is to hold little of it.
    if (this.#read.size >= pagesKept) this.#read.clear();
    this.#read.set(part, page);
    return page;
  }
}

/** What there is for an endpoint that wants nothing. */
const nothing: EventPage = { events: [], hasMore: false };

type EventPage = Awaited<ReturnType<typeof listEvents>>;

/** The whole of a message (Standard Webhooks, "Payload structure"). */
function bodyOf(event: Event): string {
  const data = eventOf(event);
  return JSON.stringify({ type: event.kind, timestamp: data.at, data });
}
