import { Connections } from './request/connections.ts';
import type { Outcome } from './request/send.ts';
import { isAccepted, isUnavailable, retryAfterOf } from './retry.ts';

/** How many deliveries one endpoint gets at once: at first, and at most. */
const initialConcurrency = 4;
const maxConcurrency = 32;

/** A slower answer halves the concurrency. */
const promptMilliseconds = 1000;

/** The backoff after the second unavailable answer in a row; it doubles up to the maximum. */
const firstBackoff = 5000;
const maxBackoff = 300_000;

/**
 * The state of sending to one endpoint; its deliveries are in the database. Prompt answers raise
 * the concurrency, slow ones lower it. An unavailable endpoint gets one delivery at a time, with a
 * growing backoff, until it answers again.
 */
export class EndpointQueue {
  readonly id: string;
  readonly ownerId: number;
  readonly connections = new Connections();
  /** Ids of deliveries being sent, or sent with a result that is not saved yet. */
  readonly inFlight = new Set<string>();
  /** When to query for due deliveries, in milliseconds since 1970. */
  nextPoll = Number.POSITIVE_INFINITY;
  /** When an attempt last ended, on the monotonic clock. */
  lastUsed = performance.now();
  /** Whether the last attempt was answered. */
  isAvailable = false;
  #concurrency = initialConcurrency;
  /** Unavailable answers in a row. */
  #failures = 0;
  #backoffEnd = { time: 0, tick: 0 };

  constructor(id: string, ownerId: number) {
    this.id = id;
    this.ownerId = ownerId;
  }

  /** How many more deliveries the endpoint may get now. */
  get available(): number {
    return this.#concurrency - this.inFlight.size;
  }

  /** Whether nothing is in flight and no poll is scheduled. */
  get isIdle(): boolean {
    return this.nextPoll === Number.POSITIVE_INFINITY && this.inFlight.size === 0;
  }

  isReady(now: number): boolean {
    return this.nextPoll <= now && this.available > 0 && !this.#isBackingOff(now);
  }

  /** Schedules a poll at this time, unless an earlier one is scheduled. */
  pollAt(time: number): void {
    this.nextPoll = Math.min(this.nextPoll, time);
  }

  /**
   * Ends the backoff and polls at once: the owner changed the endpoint, or asked for a delivery.
   */
  resetBackoff(): void {
    this.nextPoll = 0;
    this.#concurrency = Math.max(this.#concurrency, initialConcurrency);
    this.#failures = 0;
    this.#backoffEnd = { time: 0, tick: 0 };
  }

  /** Adapts concurrency and backoff to an attempt's outcome and duration. */
  adapt(now: number, outcome: Outcome, milliseconds: number): void {
    this.lastUsed = performance.now();
    this.isAvailable = !isUnavailable(outcome);
    if (this.isAvailable) this.#adaptConcurrency(outcome, milliseconds);
    else this.#backOff(now, outcome);
  }

  #adaptConcurrency(outcome: Outcome, milliseconds: number): void {
    this.#failures = 0;
    if (milliseconds > promptMilliseconds) this.#concurrency = Math.max(1, this.#concurrency >> 1);
    else if (isAccepted(outcome)) this.#concurrency = Math.min(this.#concurrency + 1, maxConcurrency);
  }

  #backOff(now: number, outcome: Outcome): void {
    this.#concurrency = 1;
    this.#failures++;
    const computed = this.#failures < 2 ? 0 : firstBackoff * 2 ** Math.min(this.#failures - 2, 10);
    const backoff = Math.min(Math.max(computed, retryAfterOf(now, outcome)), maxBackoff);
    this.#backoffEnd = { time: now + backoff, tick: performance.now() + backoff };
  }

  /** The backoff ends when either clock passes its end, because the time of day may be set back. */
  #isBackingOff(now: number): boolean {
    return now < this.#backoffEnd.time && performance.now() < this.#backoffEnd.tick;
  }
}
