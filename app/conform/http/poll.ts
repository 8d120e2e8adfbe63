import { setTimeout } from 'node:timers/promises';

const pauseMilliseconds = 250;

/**
 * Calls `request` until its result is accepted, time is up, or `stop` aborts. Resolves to the last
 * result.
 */
export async function poll<T>(
  request: () => Promise<T>,
  isAccepted: (result: T) => boolean,
  seconds: number,
  stop?: AbortSignal,
): Promise<T> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const result = await request();
    if (isAccepted(result) || performance.now() >= deadline) return result;
    await setTimeout(pauseMilliseconds, undefined, stop ? { signal: stop } : {}).catch(() => {});
  }
}
