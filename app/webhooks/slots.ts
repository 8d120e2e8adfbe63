/** So many attempts are under way at once at most, to all endpoints of all owners. */
export const maxUnderWay = 512;

/** An attempt is cut off for another owner's after so many milliseconds at the earliest. */
export const minAge = 1000;

export type Place = {
  ownerId: number;
  /** Ends the attempt. */
  cutOff: () => void;
};

/**
 * Who has how many attempts under way. At the limit, the longest attempt of the owner with the most is cut off for an
 * owner who has fewer: receivers that never answer keep nobody else waiting for longer than `minAge`.
 */
export class Places {
  /** In the order in which they were taken, with the time of that. */
  readonly #taken = new Map<Place, number>();
  readonly #ofOwner = new Map<number, number>();
  readonly #tick: () => number;

  /** `tick` returns milliseconds that only ever grow. */
  constructor(tick = () => performance.now()) {
    this.#tick = tick;
  }

  /** Returns whether the place is taken now. */
  take(place: Place): boolean {
    if (this.#taken.size >= maxUnderWay && !this.#cutOffFor(place.ownerId)) return false;
    this.#taken.set(place, this.#tick());
    this.#ofOwner.set(place.ownerId, this.#countOf(place.ownerId) + 1);
    return true;
  }

  /** Gives a place back; does nothing when it was cut off before. */
  release(place: Place): void {
    if (!this.#taken.delete(place)) return;
    const count = this.#countOf(place.ownerId) - 1;
    if (count > 0) this.#ofOwner.set(place.ownerId, count);
    else this.#ofOwner.delete(place.ownerId);
  }

  #countOf(ownerId: number): number {
    return this.#ofOwner.get(ownerId) ?? 0;
  }

  #cutOffFor(ownerId: number): boolean {
    const most = Math.max(...this.#ofOwner.values());
    if (this.#countOf(ownerId) >= most) return false;
    const oldest = this.#taken.entries().find(([place]) => this.#countOf(place.ownerId) === most);
    if (!oldest || this.#tick() - oldest[1] < minAge) return false;
    const [place] = oldest;
    this.release(place);
    place.cutOff();
    return true;
  }
}
