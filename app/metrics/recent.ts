import type { RecentRequests } from '../context.ts';
import { buckets } from './buckets.ts';

const minutes = 60;

/** What happened in one minute. The last bucket holds what took longer than all others. */
type Slot = { minute: number; requests: number; failed: number; durations: Uint32Array };

/**
 * Counts and times the requests of the last hour, minute by minute, for people who look at the
 * server and have no other program that does.
 */
export class RequestHistory {
  readonly #now: () => number;
  readonly #slots: Slot[] = [];

  /** `now` returns milliseconds on a clock that nobody sets. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Counts a request that has ended. It failed if the status is 500 or more. */
  ended(status: number, seconds: number): void {
    const slot = this.#slot();
    slot.requests++;
    if (status >= 500) slot.failed++;
    const at = buckets.findIndex((most) => seconds <= most);
    const bucket = at === -1 ? buckets.length : at;
    slot.durations[bucket] = (slot.durations[bucket] ?? 0) + 1;
  }

  read(): RecentRequests {
    const oldest = this.#minute() - minutes;
    const slots = this.#slots.filter(({ minute }) => minute > oldest);
    const sum = (of: (slot: Slot) => number) => slots.reduce((all, slot) => all + of(slot), 0);
    const durations = Array.from({ length: buckets.length + 1 }, (_, n) => sum((slot) => slot.durations[n] ?? 0));
    const requests = sum((slot) => slot.requests);
    const at = (share: number) => quantile(durations, requests * share);
    return { requests, failed: sum(({ failed }) => failed), p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }

  #minute(): number {
    return Math.floor(this.#now() / 60_000);
  }

  #slot(): Slot {
    const minute = this.#minute();
    const last = this.#slots.at(-1);
    if (last?.minute === minute) return last;
    const slot = { minute, requests: 0, failed: 0, durations: new Uint32Array(buckets.length + 1) };
    this.#slots.push(slot);
    if (this.#slots.length > minutes) this.#slots.shift();
    return slot;
  }
}

/** Returns the bound of the bucket that the request of this rank is in; null without one. */
function quantile(durations: number[], rank: number): number | null {
  let seen = 0;
  for (const [n, count] of durations.entries()) {
    seen += count;
    if (count > 0 && seen >= rank) return (buckets[n] ?? Number.POSITIVE_INFINITY) * 1000;
  }
  return null;
}
