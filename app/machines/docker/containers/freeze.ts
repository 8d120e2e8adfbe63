import { setTimeout as delay } from 'node:timers/promises';

/** How often a freeze is tried, and how long to wait in between. */
const tries = 5;
const pauseMilliseconds = 20;

/**
 * Calls `work`, which makes the engine freeze a container, again when that failed because the
 * container's processes were too busy. runc gives up after a while (`unable to freeze`).
 */
export async function whileFreezable<T>(work: () => Promise<T>): Promise<T> {
  for (let left = tries - 1; ; left -= 1) {
    try {
      return await work();
    } catch (error) {
      const words = ((error as Error).cause as Error | undefined)?.message ?? '';
      if (left === 0 || !words.includes('unable to freeze')) throw error;
      await delay(pauseMilliseconds);
    }
  }
}
