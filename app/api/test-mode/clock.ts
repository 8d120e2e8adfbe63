export type ClockChange = {
  /** The new time, in milliseconds since 1970. */
  to: number;
  /** Whether the clock stands still from then on (default: unchanged). */
  isFrozen?: boolean | undefined;
};

/** A clock that a test can set, advance and freeze. */
export class TestClock {
  readonly #systemNow: () => number;
  readonly #start: number | null;
  #frozenAt: number | null;
  #offset = 0;

  /** `start` is where the clock stands still at first; with null it runs with `systemNow`. */
  constructor(systemNow: () => number, start: number | null) {
    this.#systemNow = systemNow;
    this.#start = start;
    this.#frozenAt = start;
  }

  /** Returns whole milliseconds since 1970. */
  readonly now = (): number => this.#frozenAt ?? this.#systemNow() + this.#offset;

  get isFrozen(): boolean {
    return this.#frozenAt !== null;
  }

  change({ to, isFrozen = this.isFrozen }: ClockChange): void {
    const time = Math.round(to);
    this.#frozenAt = isFrozen ? time : null;
    this.#offset = time - this.#systemNow();
  }

  /** Returns the clock to its initial state. */
  reset(): void {
    this.#frozenAt = this.#start;
    this.#offset = 0;
  }
}
