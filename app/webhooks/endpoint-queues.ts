import type { Endpoint } from '../../db/webhooks/endpoints.ts';
import { Lane } from './endpoint-queue.ts';

/** An owner's messages under way at most, beside one to each endpoint: only endpoints that answer get the second half. */
const maxBesideFirst = 32;

/** Lanes that one look serves at most, so that results don't wait for all of them. */
const maxServed = 64;

/** How long connections are kept without a message under way, and to how many endpoints at most. */
const idleMilliseconds = 5000;
const maxIdle = 32;

/** The lanes of the endpoints that have, or lately had, something to send. Those served last are served last again. */
export class Lanes {
  readonly #owners = new Map<number, Map<string, Lane>>();

  /** Returns the endpoint's lane, a new one where it has none. */
  of({ id, ownerId }: Pick<Endpoint, 'id' | 'ownerId'>): Lane {
    const lane = this.#owners.get(ownerId)?.get(id) ?? new Lane(id, ownerId);
    if (!this.#owners.has(ownerId)) this.#owners.set(ownerId, new Map());
    this.#owners.get(ownerId)?.set(id, lane);
    return lane;
  }

  /** Returns some lanes that can send, one of each owner, then a second of each, and so on; `hasMore` says that there are others. */
  ready(now: number): { lanes: Lane[]; hasMore: boolean } {
    const byOwner = [...this.#owners.values()].map((lanes) => [...lanes.values()].filter((lane) => lane.isReady(now)));
    const waiting = byOwner.filter((lanes) => lanes.length > 0);
    const lanes: Lane[] = [];
    for (let turn = 0; lanes.length < maxServed; turn++) {
      const inTurn = waiting.flatMap((ofOwner) => ofOwner[turn] ?? []);
      if (inTurn.length === 0) return { lanes, hasMore: false };
      lanes.push(...inTurn);
    }
    return { lanes: lanes.slice(0, maxServed), hasMore: true };
  }

  /** Returns how many messages the lane may send now. */
  freeFor(lane: Lane): number {
    const first = lane.underWay.size === 0 ? 1 : 0;
    const besideFirst = [...(this.#owners.get(lane.ownerId)?.values() ?? [])]
      .map(({ underWay }) => Math.max(0, underWay.size - 1))
      .reduce((sum, count) => sum + count, 0);
    const most = lane.answers ? maxBesideFirst : maxBesideFirst / 2;
    return Math.min(lane.free, first + Math.max(0, most - besideFirst));
  }

  /** Puts a lane and its owner behind all others. */
  putLast(lane: Lane): void {
    const lanes = this.#owners.get(lane.ownerId);
    if (!lanes?.delete(lane.id)) return;
    lanes.set(lane.id, lane);
    this.#owners.delete(lane.ownerId);
    this.#owners.set(lane.ownerId, lanes);
  }

  /** Closes connections that have not been used lately, and forgets lanes that have nothing to send. */
  tidy(): void {
    const idle = [...this.#all()].filter(({ underWay }) => underWay.size === 0);
    const open = idle.filter(({ connections }) => connections.isOpen).toSorted((a, b) => b.lastUsed - a.lastUsed);
    const oldest = performance.now() - idleMilliseconds;
    for (const [rank, lane] of open.entries()) if (rank >= maxIdle || lane.lastUsed < oldest) lane.connections.close();
    for (const lane of idle) if (lane.isOver && !lane.connections.isOpen) this.#drop(lane);
  }

  clear(): void {
    for (const { connections } of this.#all()) connections.close();
    this.#owners.clear();
  }

  *#all(): Generator<Lane> {
    for (const lanes of this.#owners.values()) yield* lanes.values();
  }

  #drop({ id, ownerId }: Lane): void {
    const lanes = this.#owners.get(ownerId);
    lanes?.delete(id);
    if (lanes?.size === 0) this.#owners.delete(ownerId);
  }
}
