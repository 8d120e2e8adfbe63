import { setTimeout as delay } from 'node:timers/promises';
import type { Death, FoundMachine } from '../driver.ts';

/** How often to look for machines that died, unless a connection to one breaks. */
const lookMilliseconds = 5000;
/** How long after a broken connection its machine is looked at: msb notices a little later. */
const settleMilliseconds = 200;

/** Wakes one who waits for something to happen to a machine; what happened before counts too. */
export class Bell {
  #isRung = false;
  #wake: (() => void) | null = null;

  ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  /** Waits for a ring, at most so many milliseconds, or until the signal aborts. */
  async wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, milliseconds).unref();
    const wake = () => resolve();
    signal.addEventListener('abort', wake);
    this.#wake = wake;
    if (!this.#isRung && !signal.aborted) await promise;
    this.#isRung = false;
    this.#wake = null;
    clearTimeout(timer);
    // The signal lives as long as the server: each wait would leave one more listener.
    signal.removeEventListener('abort', wake);
  }
}

/**
 * Yields machines that stop or vanish, until the signal. `isExpected` says of which it was asked.
 * Looks at nothing while no machine exists.
 */
export async function* watchDeaths(
  list: () => Promise<FoundMachine[]>,
  isExpected: (id: string) => boolean,
  bell: Bell,
  signal: AbortSignal,
): AsyncGenerator<Death> {
  let alive = aliveOf(await list());
  while (!signal.aborted) {
    await bell.wait(lookMilliseconds, signal);
    await delay(settleMilliseconds, undefined, { signal }).catch(() => {});
    if (signal.aborted) return;
    const now = aliveOf(await list());
    for (const id of alive) if (!now.has(id) && !isExpected(id)) yield { id, reason: 'exited' };
    alive = now;
  }
}

function aliveOf(found: FoundMachine[]): Set<string> {
  return new Set(found.filter(({ state }) => state !== 'stopped').map(({ id }) => id));
}
