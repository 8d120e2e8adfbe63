import { type JsonObject, parseJson } from '../../db/json/json.ts';
import type { Db, Trx } from '../../db/store.ts';
import { addDelivery } from '../../db/webhooks/deliveries.ts';
import { type Endpoint, listEndpoints } from '../../db/webhooks/endpoints.ts';
import { nextQueuedOwner, type QueuedEvent, queuedEvents, removeQueued } from '../../db/webhooks/outbox.ts';
import { eventOf } from '../events/shape.ts';

/** A step makes about so many deliveries for all owners together, in so many turns, and so many in one owner's turn. */
const maxInStep = 100;
const maxTurns = 30;
const maxInTurn = 50;

/** A message carries metadata of at most so many bytes. */
const maxMetadataBytes = 16_384;

/** Makes deliveries of queued events, an owner after the other: nobody waits until another's are all made. */
export class MessageMaker {
  readonly #db: Db;
  readonly #now: () => number;
  /** Whose turn it was last. */
  #owner = 0;

  constructor(db: Db, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  /** Whether events are queued. */
  async hasWork(): Promise<boolean> {
    return (await nextQueuedOwner(this.#db, 0)) !== undefined;
  }

  /** Makes some deliveries; returns the endpoints that they are for. */
  async make(trx: Trx): Promise<Endpoint[]> {
    const endpoints = new Map<string, Endpoint>();
    for (let made = 0, turns = 0; made < maxInStep && turns < maxTurns; turns++) {
      const owner = (await nextQueuedOwner(trx, this.#owner)) ?? (await nextQueuedOwner(trx, 0));
      if (owner === undefined) break;
      this.#owner = owner;
      made += await this.#makeOf(trx, owner, endpoints);
    }
    return [...endpoints.values()];
  }

  /** Makes deliveries of one owner's oldest queued events; adds to `served` whom they are for. Returns how many. */
  async #makeOf(trx: Trx, ownerId: number, served: Map<string, Endpoint>): Promise<number> {
    const endpoints = new Map((await listEndpoints(trx, ownerId)).map((endpoint) => [endpoint.id, endpoint]));
    const isMetadataWanted = [...endpoints.values()].some(({ includesMetadata }) => includesMetadata);
    const events = await queuedEvents(trx, ownerId, {
      limit: maxInTurn,
      maxMetadataBytes: isMetadataWanted ? maxMetadataBytes : -1,
    });
    let made = 0;
    let last = 0;
    for (const queued of events) {
      if (made > 0 && made + queued.endpoints.length > maxInTurn) break;
      const bodies = new Bodies(queued);
      for (const id of queued.endpoints) {
        const endpoint = endpoints.get(id);
        // It may have been deleted meanwhile.
        if (!endpoint) continue;
        const { seq, kind } = queued.event;
        await addDelivery(trx, this.#now(), id, { eventSeq: seq, kind, body: bodies.for(endpoint) });
        served.set(id, endpoint);
        made++;
      }
      last = queued.event.seq;
    }
    await removeQueued(trx, ownerId, last);
    return made;
  }
}

/** The bodies of an event's messages, each made once (Standard Webhooks, "Payload structure"). */
class Bodies {
  readonly #queued: QueuedEvent;
  readonly #made = new Map<boolean, string>();

  constructor(queued: QueuedEvent) {
    this.#queued = queued;
  }

  for({ includesMetadata }: Endpoint): string {
    const body = this.#made.get(includesMetadata) ?? this.#make(includesMetadata);
    this.#made.set(includesMetadata, body);
    return body;
  }

  #make(includesMetadata: boolean): string {
    const event = eventOf(this.#queued.event);
    const data = includesMetadata ? { ...event, ...this.#metadata() } : event;
    return JSON.stringify({ type: event.kind, timestamp: event.at, data });
  }

  #metadata(): { metadata: JsonObject | null; metadata_omitted: boolean } {
    const { metadata, isMetadataTooLarge } = this.#queued;
    const parsed = metadata === null ? null : (parseJson(metadata) as JsonObject);
    return { metadata: parsed, metadata_omitted: isMetadataTooLarge };
  }
}
