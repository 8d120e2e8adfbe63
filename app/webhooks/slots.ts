/** How many attempts run at once at most, to all endpoints of all owners. */
export const maxSlots = 512;

/** How long an attempt may run before it can be evicted for another owner. */
export const minMilliseconds = 1000;

/** The right to run one attempt. */
export type Slot = {
  ownerId: number;
  /** Aborts the attempt. */
  evict: () => void;
};

/**
 * Divides the process's slots among owners. When all are in use, the longest-running attempt of the
 * owner with the most slots is evicted for an owner with fewer. So receivers that never answer
 * delay other owners by at most `minMilliseconds`.
 */
export class Slots {
  /** In the order of acquisition, with its time on the monotonic clock. */
  readonly #acquired = new Map<Slot, number>();
  readonly #countByOwner = new Map<number, number>();
  readonly #tick: () => number;

  /** `tick` returns milliseconds of a monotonic clock. */
  constructor(tick = () => performance.now()) {
    this.#tick = tick;
  }

  /** Returns whether the slot was granted. */
  acquire(slot: Slot): boolean {
    if (this.#acquired.size >= maxSlots && !this.#evictFor(slot.ownerId)) return false;
    this.#acquired.set(slot, this.#tick());
    this.#countByOwner.set(slot.ownerId, this.#countOf(slot.ownerId) + 1);
    return true;
  }

  /** Gives a slot back. Does nothing when it was evicted before. */
  release(slot: Slot): void {
    if (!this.#acquired.delete(slot)) return;
    const count = this.#countOf(slot.ownerId) - 1;
    if (count > 0) this.#countByOwner.set(slot.ownerId, count);
    else this.#countByOwner.delete(slot.ownerId);
  }

  #countOf(ownerId: number): number {
    return this.#countByOwner.get(ownerId) ?? 0;
  }

  #evictFor(ownerId: number): boolean {
    const most = Math.max(...this.#countByOwner.values());
    if (this.#countOf(ownerId) >= most) return false;
    const oldest = this.#acquired.entries().find(([slot]) => this.#countOf(slot.ownerId) === most);
    if (!oldest || this.#tick() - oldest[1] < minMilliseconds) return false;
    const [slot] = oldest;
    this.release(slot);
    slot.evict();
    return true;
  }
}
