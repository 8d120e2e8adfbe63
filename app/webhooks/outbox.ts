import type { Db, Trx } from '../../db/store.ts';
import { addDelivery } from '../../db/webhooks/deliveries.ts';
import { type Endpoint, listEndpoints } from '../../db/webhooks/endpoints.ts';
import { nextQueuedOwner, type QueuedEvent, queuedEvents, removeQueued } from '../../db/webhooks/outbox.ts';
import { composeE2b, composeStandard } from './bodies.ts';

/** Bounds of one batch: deliveries of all owners, turns of owners, and deliveries in one turn. */
const maxDeliveries = 100;
const maxTurns = 30;
const maxInTurn = 50;

/** A body carries at most this much metadata. */
const maxMetadataBytes = 16_384;

/**
 * Turns queued events into deliveries, one owner after the other, so that no owner delays the rest.
 */
export class Outbox {
  readonly #db: Db;
  readonly #now: () => number;
  /** The owner whose turn was last. */
  #lastOwner = 0;

  constructor(db: Db, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  async hasEvents(): Promise<boolean> {
    return (await nextQueuedOwner(this.#db, 0)) !== undefined;
  }

  /** Creates a batch of deliveries. Returns the endpoints that got any. */
  async createDeliveries(trx: Trx): Promise<Endpoint[]> {
    const endpoints = new Map<string, Endpoint>();
    for (let created = 0, turns = 0; created < maxDeliveries && turns < maxTurns; turns++) {
      const owner = (await nextQueuedOwner(trx, this.#lastOwner)) ?? (await nextQueuedOwner(trx, 0));
      if (owner === undefined) break;
      this.#lastOwner = owner;
      created += await this.#createForOwner(trx, owner, endpoints);
    }
    return [...endpoints.values()];
  }

  /**
   * Creates deliveries of one owner's oldest queued events, and adds their endpoints to `served`.
   * Returns the number of deliveries.
   */
  async #createForOwner(trx: Trx, ownerId: number, served: Map<string, Endpoint>): Promise<number> {
    const endpoints = new Map((await listEndpoints(trx, ownerId)).map((endpoint) => [endpoint.id, endpoint]));
    const needsMetadata = [...endpoints.values()].some(({ includesMetadata }) => includesMetadata);
    const events = await queuedEvents(trx, ownerId, {
      limit: maxInTurn,
      maxMetadataBytes: needsMetadata ? maxMetadataBytes : -1,
    });
    let created = 0;
    let lastSeq = 0;
    for (const queued of events) {
      if (created > 0 && created + queued.endpoints.length > maxInTurn) break;
      const bodies = new Bodies(queued);
      for (const id of queued.endpoints) {
        const endpoint = endpoints.get(id);
        // Deleted since the event was recorded.
        if (!endpoint) continue;
        const { seq, kind } = queued.event;
        await addDelivery(trx, this.#now(), id, { eventSeq: seq, kind, body: bodies.for(endpoint) });
        served.set(id, endpoint);
        created++;
      }
      lastSeq = queued.event.seq;
    }
    await removeQueued(trx, ownerId, lastSeq);
    return created;
  }
}

/** The bodies of an event, one for each format, with and without metadata. */
class Bodies {
  readonly #queued: QueuedEvent;
  readonly #cache = new Map<string, string>();

  constructor(queued: QueuedEvent) {
    this.#queued = queued;
  }

  for({ format, includesMetadata }: Endpoint): string {
    const key = `${format} ${includesMetadata}`;
    const compose = format === 'e2b' ? composeE2b : composeStandard;
    const body = this.#cache.get(key) ?? compose(this.#queued, includesMetadata);
    this.#cache.set(key, body);
    return body;
  }
}
