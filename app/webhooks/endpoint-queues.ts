import type { Endpoint } from '../../db/webhooks/endpoints.ts';
import { EndpointQueue } from './endpoint-queue.ts';

/**
 * How many deliveries of one owner are in flight at most, not counting the first of each endpoint.
 * An unavailable endpoint may use only half of it.
 */
const maxBesideFirst = 32;

/** How many queues one pass serves, so that results do not wait for all of them. */
const maxServed = 64;

/** How long unused connections stay open, and for how many endpoints. */
const idleMilliseconds = 5000;
const maxIdle = 32;

/**
 * The queues of endpoints that have, or recently had, something to send. The last served come last.
 */
export class EndpointQueues {
  /** By owner, then by endpoint. */
  readonly #owners = new Map<number, Map<string, EndpointQueue>>();

  /** Returns the endpoint's queue, creating it if needed. */
  of({ id, ownerId }: Pick<Endpoint, 'id' | 'ownerId'>): EndpointQueue {
    const queue = this.#owners.get(ownerId)?.get(id) ?? new EndpointQueue(id, ownerId);
    if (!this.#owners.has(ownerId)) this.#owners.set(ownerId, new Map());
    this.#owners.get(ownerId)?.set(id, queue);
    return queue;
  }

  /**
   * Returns a batch of queues that can send: the first of each owner, then the second of each, and
   * so on. `hasMore` says whether others can send as well.
   */
  ready(now: number): { queues: EndpointQueue[]; hasMore: boolean } {
    const byOwner = [...this.#owners.values()].map((own) => [...own.values()].filter((queue) => queue.isReady(now)));
    const waiting = byOwner.filter((own) => own.length > 0);
    const queues: EndpointQueue[] = [];
    for (let round = 0; queues.length < maxServed; round++) {
      const inRound = waiting.flatMap((own) => own[round] ?? []);
      if (inRound.length === 0) return { queues, hasMore: false };
      queues.push(...inRound);
    }
    return { queues: queues.slice(0, maxServed), hasMore: true };
  }

  /** Returns how many deliveries the queue may start now, within its own and its owner's limits. */
  availableFor(queue: EndpointQueue): number {
    const first = queue.inFlight.size === 0 ? 1 : 0;
    const besideFirst = [...(this.#owners.get(queue.ownerId)?.values() ?? [])]
      .map(({ inFlight }) => Math.max(0, inFlight.size - 1))
      .reduce((sum, count) => sum + count, 0);
    const limit = queue.isAvailable ? maxBesideFirst : maxBesideFirst / 2;
    return Math.min(queue.available, first + Math.max(0, limit - besideFirst));
  }

  /** Moves a queue behind its owner's other queues, and its owner behind the other owners. */
  moveToBack(queue: EndpointQueue): void {
    const own = this.#owners.get(queue.ownerId);
    if (!own?.delete(queue.id)) return;
    own.set(queue.id, queue);
    this.#owners.delete(queue.ownerId);
    this.#owners.set(queue.ownerId, own);
  }

  /**
   * Closes unused connections, the longest unused first, and drops queues that have nothing to
   * send.
   */
  evictIdle(): void {
    const unused = [...this.#all()].filter(({ inFlight }) => inFlight.size === 0);
    const open = unused.filter(({ connections }) => connections.isOpen).toSorted((a, b) => b.lastUsed - a.lastUsed);
    const oldest = performance.now() - idleMilliseconds;
    for (const [rank, queue] of open.entries())
      if (rank >= maxIdle || queue.lastUsed < oldest) queue.connections.close();
    for (const queue of unused) if (queue.isIdle && !queue.connections.isOpen) this.#drop(queue);
  }

  clear(): void {
    for (const { connections } of this.#all()) connections.close();
    this.#owners.clear();
  }

  *#all(): Generator<EndpointQueue> {
    for (const own of this.#owners.values()) yield* own.values();
  }

  #drop({ id, ownerId }: EndpointQueue): void {
    const own = this.#owners.get(ownerId);
    own?.delete(id);
    if (own?.size === 0) this.#owners.delete(ownerId);
  }
}
