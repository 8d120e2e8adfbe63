/** What a machine used at one moment. All sizes are bytes. */
export type Reading = {
  /** milliseconds since 1970 */
  at: number;
  /** of all its processors together, since the reading before: 0 to 100 */
  cpuPercent: number;
  memoryBytes: number;
  cacheBytes: number;
  diskUsedBytes: number;
  diskTotalBytes: number;
};

const fields = ['at', 'cpuPercent', 'memoryBytes', 'cacheBytes', 'diskUsedBytes', 'diskTotalBytes'] as const;

/** Readings of the last minutes, and after that one of each minute: about an hour in all. */
const recentCount = 60;
const minuteCount = 60;
const minute = 60_000;

/** The memory that the readings of one machine take: 5,760 bytes. */
export const bytesPerMachine = (recentCount + minuteCount) * fields.length * Float64Array.BYTES_PER_ELEMENT;

/** The readings of one machine, at falling resolution. */
export class History {
  readonly #recent = new Ring(recentCount);
  readonly #minutes = new Ring(minuteCount);

  add(reading: Reading): void {
    const oldest = this.#recent.add(reading);
    const last = this.#minutes.newest();
    if (oldest && (last === null || oldest.at - last.at >= minute)) this.#minutes.add(oldest);
  }

  newest(): Reading | null {
    return this.#recent.newest();
  }

  /** Returns the readings from one time to another, both included, oldest first. */
  between(from: number, to: number): Reading[] {
    return [...this.#minutes.all(), ...this.#recent.all()].filter(({ at }) => at >= from && at <= to);
  }
}

/** The last readings, in one block of memory. */
class Ring {
  readonly #values: Float64Array;
  readonly #size: number;
  #count = 0;

  constructor(size: number) {
    this.#size = size;
    this.#values = new Float64Array(size * fields.length);
  }

  /** Returns the reading that had to go; null while there is room. */
  add(reading: Reading): Reading | null {
    const gone = this.#count >= this.#size ? this.#at(this.#count) : null;
    const start = (this.#count++ % this.#size) * fields.length;
    fields.forEach((field, index) => {
      this.#values[start + index] = reading[field];
    });
    return gone;
  }

  newest(): Reading | null {
    return this.#count === 0 ? null : this.#at(this.#count - 1);
  }

  all(): Reading[] {
    const first = Math.max(0, this.#count - this.#size);
    return Array.from({ length: this.#count - first }, (_, index) => this.#at(first + index));
  }

  #at(number: number): Reading {
    const start = (number % this.#size) * fields.length;
    const entries = fields.map((field, index) => [field, this.#values[start + index]]);
    return Object.fromEntries(entries) as Reading;
  }
}
