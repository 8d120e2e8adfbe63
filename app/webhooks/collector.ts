import { addDeliveries } from '../../db/deliveries.ts';
import { matchesKind } from '../../db/event-kinds.ts';
import { allEvents, type Event, listEvents } from '../../db/event-log.ts';
import type { Clock } from '../../db/lifecycle.ts';
import { type Db, write } from '../../db/sqlite.ts';
import type { Endpoint } from '../../db/webhooks.ts';
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

  /** Says whether there is an event that the endpoint has not been asked about. */
  isBehind({ id, newestSeq }: { id: string; newestSeq: number }): boolean {
    return (this.#scanned.get(id) ?? 0) < newestSeq;
  }

  /** Looks at the next events for an endpoint; returns whether there may be more. */
  async step(endpoint: Endpoint): Promise<boolean> {
    const { id, ownerId, seenSeq, eventPatterns } = endpoint;
    const from = Math.max(seenSeq, this.#scanned.get(id) ?? 0);
    const { events, hasMore } = await this.#eventsBehind(ownerId, from);
    const last = events.at(-1)?.seq;
    if (last === undefined) return false;
    const wanted = events.filter(({ kind }) => eventPatterns.some((pattern) => matchesKind(pattern, kind)));
    if (wanted.length > 0 || last - seenSeq > noteAfter) {
      const messages = wanted.map((event) => ({ eventSeq: event.seq, kind: event.kind, body: bodyOf(event) }));
      await write(this.#db, (trx) => addDeliveries(trx, this.#now(), endpoint, messages, last));
      endpoint.seenSeq = last;
    }
    this.#scanned.set(id, last);
    return hasMore;
  }

  async #eventsBehind(ownerId: number, after: number): Promise<EventPage> {
    const part = `${ownerId} ${after}`;
    const page =
      this.#read.get(part) ?? (await listEvents(this.#db, { ...allEvents, ownerId, after, limit: eventsInStep }));
    // Whoever has much to catch up on is to hold little of it.
    if (this.#read.size >= pagesKept) this.#read.clear();
    this.#read.set(part, page);
    return page;
  }
}

type EventPage = Awaited<ReturnType<typeof listEvents>>;

/** The whole of a message (Standard Webhooks, "Payload structure"). */
function bodyOf(event: Event): string {
  const data = eventOf(event);
  return JSON.stringify({ type: event.kind, timestamp: data.at, data });
}
