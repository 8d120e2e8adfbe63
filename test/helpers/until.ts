import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits until `isTrue` returns true. Throws an Error that names what did not happen within some
 * milliseconds, twenty seconds unless given.
 */
export async function until(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
  milliseconds = 20_000,
): Promise<void> {
  for (const end = Date.now() + milliseconds; !(await isTrue()); await delay(5)) {
    if (Date.now() > end) throw new Error(`not within ${milliseconds} ms: ${what}`);
  }
}
