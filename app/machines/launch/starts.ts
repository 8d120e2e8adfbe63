import { MachineError } from '../error.ts';

/** How many machines are started at the same time. More at once would only slow each other. */
const maxStarting = 8;

/** How many creates may wait for their turn: of one owner, and of all. */
const maxWaitingOfOwner = 256;
const maxWaiting = 1024;

type Waiter = { start: () => void };

/**
 * Bounds the machines that are being started at the same time. Owners take turns: the one with the
 * fewest starts under way comes first, so that one owner's many creates hold up nobody else.
 */
export class Starts {
  readonly #starting = new Map<number, number>();
  readonly #waiting = new Map<number, Set<Waiter>>();
  #startingCount = 0;
  #waitingCount = 0;

  /**
   * Resolves when a machine of this owner may be started; call `release` when it has. Rejects with
   * MachineError `full` when too many wait, and with the signal's reason.
   */
  async acquire(ownerId: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#startingCount < maxStarting) return this.#start(ownerId);
    const queue = this.#waiting.get(ownerId) ?? new Set();
    if (this.#waitingCount >= maxWaiting || queue.size >= maxWaitingOfOwner) {
      throw new MachineError('full', 'Too many sandboxes are being started: try again later');
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { start: resolve };
    const giveUp = () => {
      this.#leave(ownerId, waiter);
      reject(signal.reason);
    };
    this.#waiting.set(ownerId, queue.add(waiter));
    this.#waitingCount += 1;
    signal.addEventListener('abort', giveUp);
    await promise.finally(() => signal.removeEventListener('abort', giveUp));
  }

  release(ownerId: number): void {
    this.#startingCount -= 1;
    const count = this.#countOf(ownerId) - 1;
    if (count > 0) this.#starting.set(ownerId, count);
    else this.#starting.delete(ownerId);
    const next = this.#nextOwner();
    if (next !== undefined) this.#startFirst(next);
  }

  #startFirst(ownerId: number): void {
    const [waiter] = this.#waiting.get(ownerId) ?? [];
    if (!waiter) return;
    this.#leave(ownerId, waiter);
    this.#start(ownerId);
    waiter.start();
  }

  #start(ownerId: number): void {
    this.#startingCount += 1;
    this.#starting.set(ownerId, this.#countOf(ownerId) + 1);
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
