import { setTimeout } from 'node:timers/promises';

const pauseMilliseconds = 250;

/** Resolves to what `ask` does, which is asked again until that is right or the time is over; a stop ends the waiting. */
export async function until<T>(
  ask: () => Promise<T>,
  isRight: (answer: T) => boolean,
  seconds: number,
  stop?: AbortSignal,
): Promise<T> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (isRight(answer) || performance.now() >= deadline) return answer;
    await setTimeout(pauseMilliseconds, undefined, stop ? { signal: stop } : {}).catch(() => {});
  }
}
