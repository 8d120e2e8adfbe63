import type { Context } from '../context.ts';
import { prune, sweep, type Task, walShrinker } from './tasks.ts';

export type Sweeper = {
  /** Waits for the running tasks, cuts `prune` short, and sweeps once more. */
  stop: () => Promise<void>;
};

/**
 * Runs the background tasks every `sweepSeconds`. A task that is still running is skipped. Reads do
 * not depend on it: they report a sandbox as killed or paused from its end on.
 */
export function startSweeper(context: Context): Sweeper {
  const stopping = new AbortController();
  const running = new Map<Task, Promise<void>>();
  const startUnlessRunning = (task: Task, run: () => Promise<void>) => {
    if (running.has(task)) return;
    const done = run().finally(() => void running.delete(task));
    running.set(task, done);
  };
  const shrinkWal = walShrinker(context);
  // The tasks run concurrently, so that expiry never waits for a long prune.
  const timer = setInterval(() => {
    startUnlessRunning('sweep', () => sweep(context, stopping.signal));
    startUnlessRunning('prune', () => prune(context, stopping.signal));
    startUnlessRunning('shrink', shrinkWal);
  }, context.config.sweepSeconds * 1000);
  timer.unref();

  return {
    stop: async () => {
      clearInterval(timer);
      stopping.abort();
      await Promise.all(running.values());
      await sweep(context, stopping.signal);
    },
  };
}
