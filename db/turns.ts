import { setImmediate as nextTurn } from 'node:timers/promises';

/** How long a request works before other requests get their turn. */
const turnMilliseconds = 4;

/**
 * The clock of one request. Every loop whose length a caller decides calls `next` in each round: once the request has
 * worked for 4 ms since its last pause, it lets all others go first.
 */
export class Turns {
  #since = performance.now();

  async next(): Promise<void> {
    if (performance.now() - this.#since < turnMilliseconds) return;
    await nextTurn();
    this.#since = performance.now();
  }
}
