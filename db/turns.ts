import { setImmediate as nextTurn } from 'node:timers/promises';

/** How long a request may work before it lets other requests run. */
const turnMilliseconds = 4;

/**
 * Keeps one request from blocking others. Every loop whose length a caller controls awaits `next`
 * in each round: after 4 ms of work it yields to the event loop.
 */
export class Turns {
  #since = performance.now();

  async next(): Promise<void> {
    if (performance.now() - this.#since < turnMilliseconds) return;
    await nextTurn();
    this.#since = performance.now();
  }
}
