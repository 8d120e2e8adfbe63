/** How long cleanup may take, from its first request. */
const cleanupSeconds = 60;

/** The limit of requests or of time is used up. */
export class Exhausted extends Error {
  override name = 'Exhausted';
}

type Limits = { maxRequests: number; maxSeconds: number; stop?: AbortSignal | undefined };

/** The requests and the time that a run may use. Cleanup has a time limit of its own. */
export class Budget {
  readonly #limits: Limits;
  readonly #deadline: number;
  #cleanupDeadline: number | undefined;
  /** How many requests were sent. */
  requests = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#deadline = performance.now() + limits.maxSeconds * 1000;
  }

  /** Counts a request; returns the milliseconds left. Throws Exhausted, or the reason of `stop`. */
  spend(isCleanup: boolean): number {
    const left = isCleanup ? this.#cleanupLeft() : this.#left();
    this.requests++;
    return left;
  }

  #left(): number {
    const { maxRequests, maxSeconds, stop } = this.#limits;
    stop?.throwIfAborted();
    const left = this.#deadline - performance.now();
    if (this.requests >= maxRequests) throw new Exhausted(`the ${maxRequests} requests of --max-requests are used up`);
    if (left < 0) throw new Exhausted(`the ${maxSeconds} s of --max-seconds are used up`);
    return left;
  }

  #cleanupLeft(): number {
    const now = performance.now();
    this.#cleanupDeadline ??= now + cleanupSeconds * 1000;
    if (now > this.#cleanupDeadline) throw new Exhausted(`the ${cleanupSeconds} s for ending sandboxes are used up`);
    return this.#cleanupDeadline - now;
  }
}
