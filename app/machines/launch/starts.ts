import { MachineError } from '../error.ts';

/** How many machines are started at the same time. More at once would only slow each other. */
const maxStarting = 8;

/** How many creates may wait for their turn: of one owner, and of all. */
const maxWaitingOfOwner = 256;
const maxWaiting = 1024;

type Limits = {
  /** how many run at the same time, in all and of one owner */
  most: number;
  mostOfOwner: number;
  /** what too many of are waiting for, in words */
  what: string;
};

type Waiter = { places: number; start: () => void };

/**
 * Bounds the machines that are being started at the same time, or other such work. Owners take
 * turns: the one with the fewest starts under way comes first, so that one owner's many creates
 * hold up nobody else.
 */
export class Starts {
  readonly #starting = new Map<number, number>();
  readonly #waiting = new Map<number, Set<Waiter>>();
  readonly #limits: Limits;
  #startingCount = 0;
  #waitingCount = 0;

  constructor(limits: Limits = { most: maxStarting, mostOfOwner: maxStarting, what: 'sandboxes are being started' }) {
    this.#limits = limits;
  }

  /**
   * Resolves when this many machines of this owner may be started at once; call `release` with as
   * many when they have. Rejects with MachineError `full` when too many wait, and with the signal's
   * reason.
   */
  async acquire(ownerId: number, signal: AbortSignal, places = 1): Promise<void> {
    signal.throwIfAborted();
    // Nobody passes those who wait: one who needs several places would wait forever.
    if (this.#waitingCount === 0 && this.#hasRoom(ownerId, places)) return this.#start(ownerId, places);
    const queue = this.#waiting.get(ownerId) ?? new Set();
    if (this.#waitingCount >= maxWaiting || queue.size >= maxWaitingOfOwner) {
      throw new MachineError('full', `Too many ${this.#limits.what}: try again later`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { places, start: resolve };
    const giveUp = () => {
      this.#leave(ownerId, waiter);
      reject(signal.reason);
      this.#startWaiting();
    };
    this.#waiting.set(ownerId, queue.add(waiter));
    this.#waitingCount += 1;
    signal.addEventListener('abort', giveUp);
    // Those who came before may only wait for others of their own.
    if (this.#limits.mostOfOwner < this.#limits.most) this.#startWaiting();
    await promise.finally(() => signal.removeEventListener('abort', giveUp));
  }

  release(ownerId: number, places = 1): void {
    this.#startingCount -= places;
    const count = this.#countOf(ownerId) - places;
    if (count > 0) this.#starting.set(ownerId, count);
    else this.#starting.delete(ownerId);
    this.#startWaiting();
  }

  /** Starts those whose turn it is while there is room. */
  #startWaiting(): void {
    for (;;) {
      const ownerId = this.#nextOwner();
      if (ownerId === undefined) return;
      const [waiter] = this.#waiting.get(ownerId) ?? [];
      if (!waiter || !this.#hasRoom(ownerId, waiter.places)) return;
      this.#leave(ownerId, waiter);
      this.#start(ownerId, waiter.places);
      waiter.start();
    }
  }

  #hasRoom(ownerId: number, places: number): boolean {
    const { most, mostOfOwner } = this.#limits;
    return this.#startingCount + places <= most && this.#countOf(ownerId) + places <= mostOfOwner;
  }

  #start(ownerId: number, places: number): void {
    this.#startingCount += places;
    this.#starting.set(ownerId, this.#countOf(ownerId) + places);
  }

  #leave(ownerId: number, waiter: Waiter): void {
    const queue = this.#waiting.get(ownerId);
    if (!queue?.delete(waiter)) return;
    this.#waitingCount -= 1;
    this.#waiting.delete(ownerId);
    // At the end, so that owners with as many starts take turns.
    if (queue.size > 0) this.#waiting.set(ownerId, queue);
  }

  #nextOwner(): number | undefined {
    let next: number | undefined;
    for (const ownerId of this.#waiting.keys()) {
      if (next === undefined || this.#countOf(ownerId) < this.#countOf(next)) next = ownerId;
    }
    return next;
  }

  #countOf(ownerId: number): number {
    return this.#starting.get(ownerId) ?? 0;
  }
}
