import { recordKeyUse } from '../db/credentials.ts';
import { StoreError } from '../db/errors.ts';
import { endDueSandboxes } from '../db/lifecycle.ts';
import { write } from '../db/sqlite.ts';
import type { Context } from './server.ts';

export type Sweeper = { stop: () => Promise<void> };

const batchSize = 500;

/**
 * Every `sweepSeconds` marks expired sandboxes as killed or paused and writes down when keys were last used. Nothing depends on
 * it: an expired sandbox reads as what it is at once. `stop` waits for a pass under way and makes a last one.
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
    await write(store.db, (trx) => recordKeyUse(trx, used));
    for (const [id, time] of used) if (keyUse.get(id) === time) keyUse.delete(id);
    // A few at a time: requests get their turn in between.
    let ended = batchSize;
    while (ended === batchSize) ended = await write(store.db, (trx) => endDueSandboxes(trx, now(), batchSize));
  } catch (error) {
    if (error instanceof StoreError && error.code === 'busy') log.warn('sweep put off: the database is busy');
    else log.error({ err: error }, 'sweep failed');
  }
}
