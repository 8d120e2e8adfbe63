import { recordKeyUse } from '../db/credentials.ts';
import { endDueSandboxes } from '../db/sandboxes.ts';
import { write } from '../db/sqlite.ts';
import type { Context } from './server.ts';

export type Sweeper = { stop: () => Promise<void> };

/**
 * Every `sweepSeconds` marks expired sandboxes as killed and writes down when keys were last used. Nothing depends on
 * it: an expired sandbox reads as killed at once. `stop` waits for a pass under way and makes a last one.
 */
export function startSweeper(context: Context): Sweeper {
  let pass = Promise.resolve();
  let isRunning = false;
  const timer = setInterval(() => {
    if (isRunning) return;
    isRunning = true;
    pass = sweep(context).finally(() => {
      isRunning = false;
    });
  }, context.config.sweepSeconds * 1000);
  timer.unref();

  return {
    stop: async () => {
      clearInterval(timer);
      await pass;
      await sweep(context);
    },
  };
}

/** One pass. A failure is logged: the next pass makes up for it. */
export async function sweep({ store, log, now, keyUse }: Context): Promise<void> {
  const used = new Map(keyUse);
  try {
    const ended = await write(store.db, async (trx) => {
      await recordKeyUse(trx, used);
      return endDueSandboxes(trx, now());
    });
    if (ended > 0) log.debug({ ended }, 'expired sandboxes ended');
    for (const [id, time] of used) if (keyUse.get(id) === time) keyUse.delete(id);
  } catch (error) {
    log.error({ err: error }, 'sweep failed');
  }
}
