import { Connections } from './request/connections.ts';
import type { Outcome } from './request/send.ts';
import { isOverloaded, isTaken, waitAsked } from './retry.ts';

/** So many messages are under way to one endpoint at first, and at most if it answers within this time. */
const firstWidth = 4;
const maxWidth = 32;
const promptMilliseconds = 1000;

/** How long an endpoint that takes nothing rests after the second attempt in a row, and at most, in milliseconds. */
const firstRest = 5000;
const maxRest = 300_000;

/**
 * One endpoint's sending. Prompt answers let more messages be under way at once, slow ones fewer. An endpoint that
 * doesn't answer gets one at a time, with ever longer rests in between, until it answers again.
 */
export class Lane {
  readonly id: string;
  readonly ownerId: number;
  readonly connections = new Connections();
  /** The deliveries under way, until what came of them is on disk. */
  readonly underWay = new Set<string>();
  /** When to look for due messages next, in milliseconds since 1970. */
  nextLook = Number.POSITIVE_INFINITY;
  /** When an attempt last ended, by the machine's monotonic clock. */
  lastUsed = performance.now();
  /** Whether its last attempt was answered. */
  answers = false;
  #width = firstWidth;
  #failures = 0;
  #rest = { untilTime: 0, untilTick: 0 };

  constructor(id: string, ownerId: number) {
    this.id = id;
    this.ownerId = ownerId;
  }

  /** How many more messages may be sent at once. */
  get free(): number {
    return this.#width - this.underWay.size;
  }

  isReady(now: number): boolean {
    return this.nextLook <= now && this.free > 0 && !this.#isResting(now);
  }

  /** Says that it is to be looked at again at this time, or earlier if that was said before. */
  lookAt(time: number): void {
    this.nextLook = Math.min(this.nextLook, time);
  }

  /** Lets it begin afresh, at once: its owner has changed it, or asks for a message to be sent. */
  beginAfresh(): void {
    this.nextLook = 0;
    this.#width = Math.max(this.#width, firstWidth);
    this.#failures = 0;
    this.#rest = { untilTime: 0, untilTick: 0 };
  }

  /** Whether there is nothing to send. */
  get isOver(): boolean {
    return this.nextLook === Number.POSITIVE_INFINITY && this.underWay.size === 0;
  }

  /** Takes note of what an attempt came to, and how long that took. */
  note(now: number, outcome: Outcome, milliseconds: number): void {
    this.lastUsed = performance.now();
    if (isOverloaded(outcome)) this.#noteOverload(now, outcome);
    else this.#noteAnswer(outcome, milliseconds);
  }

  #noteAnswer(outcome: Outcome, milliseconds: number): void {
    this.answers = true;
    this.#failures = 0;
    if (milliseconds > promptMilliseconds) this.#width = Math.max(1, this.#width >> 1);
    else if (isTaken(outcome)) this.#width = Math.min(this.#width + 1, maxWidth);
  }

  #noteOverload(now: number, outcome: Outcome): void {
    this.answers = false;
    this.#width = 1;
    this.#failures++;
    const own = this.#failures < 2 ? 0 : firstRest * 2 ** Math.min(this.#failures - 2, 10);
    const rest = Math.min(Math.max(own, waitAsked(now, outcome)), maxRest);
    this.#rest = { untilTime: now + rest, untilTick: performance.now() + rest };
  }

  /** Until either clock says that it is over: the time of day may be set back. */
  #isResting(now: number): boolean {
    return now < this.#rest.untilTime && performance.now() < this.#rest.untilTick;
  }
}
