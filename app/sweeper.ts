import { setImmediate as nextTurn } from 'node:timers/promises';
import { recordKeyUse } from '../db/credentials.ts';
import { endDueSandboxes } from '../db/ending.ts';
import { StoreError } from '../db/errors.ts';
import { deleteOldEvents } from '../db/event-log.ts';
import { deleteEnded, giveBackSpace } from '../db/retention.ts';
import { type Trx, write } from '../db/sqlite.ts';
import type { Context } from './server.ts';

export type Sweeper = { stop: () => Promise<void> };

const batchSize = 500;

/** What a step of deleting takes at most; it holds requests up as long as it takes. */
const rowsInStep = 50;
const eventsInStep = 500;
const pagesInStep = 256;

/**
 * Every `sweepSeconds` marks expired sandboxes as killed or paused, writes down when keys were last used, and deletes what
 * has been over for longer than `retention`, and events older than `eventRetention`. Nothing depends on it: an expired sandbox reads as what it is at once.
 * `stop` waits for a pass under way, cutting its deleting short, and makes a last one.
 */
export function startSweeper(context: Context): Sweeper {
  let pass = Promise.resolve();
  let isRunning = false;
  const stopping = new AbortController();
  const timer = setInterval(() => {
    if (isRunning) return;
    isRunning = true;
    pass = sweep(context)
      .then(() => prune(context, stopping.signal))
      .finally(() => {
        isRunning = false;
      });
  }, context.config.sweepSeconds * 1000);
  timer.unref();

  return {
    stop: async () => {
      clearInterval(timer);
      stopping.abort();
      await pass;
      await sweep(context);
    },
  };
}

/** Marks and writes down. A failure is logged: the next pass makes up for it. */
export async function sweep({ store, log, now, keyUse }: Context): Promise<void> {
  const used = new Map(keyUse);
  await logged(log, 'sweep', async () => {
    await write(store.db, (trx) => recordKeyUse(trx, used));
    for (const [id, time] of used) if (keyUse.get(id) === time) keyUse.delete(id);
    // A few at a time: requests get their turn in between.
    while ((await write(store.db, (trx) => endDueSandboxes(trx, now(), batchSize))) === batchSize) await nextTurn();
  });
}

/** Deletes what is kept no longer and gives back the space, requests getting their turn in between. Failures are logged. */
export async function prune({ store, log, now, config }: Context, stop?: AbortSignal): Promise<void> {
  const { retention, eventRetention } = config;
  const inSteps = async (what: string, step: (trx: Trx) => Promise<number>) => {
    let deleted = 0;
    for (let count = 1; count > 0 && !stop?.aborted; await nextTurn()) {
      count = await write(store.db, step);
      deleted += count;
    }
    if (deleted > 0) log.info({ deleted }, `deleted ${what}`);
  };
  await logged(log, 'deleting what is kept no longer', async () => {
    if (retention !== undefined) {
      await inSteps('what ended long ago', (trx) => deleteEnded(trx, now(), now() - retention, rowsInStep));
    }
    if (eventRetention !== undefined) {
      await inSteps('old events', (trx) => deleteOldEvents(trx, now() - eventRetention, eventsInStep));
    }
    while (!stop?.aborted && (await giveBackSpace(store, pagesInStep))) await nextTurn();
  });
}

async function logged(log: Context['log'], what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof StoreError && error.code === 'busy') log.warn(`${what} put off: the database is busy`);
    else log.error({ err: error }, `${what} failed`);
  }
}
