export type ClockChange = {
  /** milliseconds since 1970 to set it to */
  to: number;
  /** whether it stands still from then on; as before unless given */
  isFrozen?: boolean | undefined;
};

/** A clock that a test sets, moves and stops. It begins as the machine's, or standing still at a given time. */
export class TestClock {
  readonly #systemNow: () => number;
  readonly #start: number | null;
  #frozenAt: number | null;
  #offset = 0;

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

  /** Has it be what it was at first. */
  reset(): void {
    this.#frozenAt = this.#start;
    this.#offset = 0;
  }
}
