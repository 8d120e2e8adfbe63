import { setImmediate as nextTurn } from 'node:timers/promises';
import { recordKeyUse } from '../../db/accounts/credentials.ts';
import { StoreError } from '../../db/errors.ts';
import { deleteOldEvents } from '../../db/events/log.ts';
import { endDueSandboxes } from '../../db/sandboxes/expire.ts';
import { deleteEnded, giveBackSpace } from '../../db/sandboxes/prune.ts';
import { shrinkWal, walBytes } from '../../db/sqlite/wal.ts';
import { inTransaction, type Trx } from '../../db/store.ts';
import { deleteDeliveries } from '../../db/webhooks/deliveries.ts';
import type { Context } from '../context.ts';

export type Sweeper = { stop: () => Promise<void> };

/** What it does, by the name in the metrics, and as the log has it. */
const tasks = { sweep: 'sweep', prune: 'deleting what ended', shrink: 'shrinking the write-ahead log' };

const batchSize = 500;

/** What a step of deleting takes at most; it holds requests up as long as it takes. */
const rowsInStep = 50;
const eventsInStep = 500;
const pagesInStep = 256;

/**
 * Every `sweepSeconds` marks expired sandboxes as killed or paused, writes down when keys were last used, and deletes what
 * has been over for longer than `retention`, and events older than `eventRetention`. Nothing depends on it: an expired sandbox reads as what it is at once.
 * `stop` waits for what is under way, cutting deleting short, and sweeps once more.
 */
export function startSweeper(context: Context): Sweeper {
  const stopping = new AbortController();
  const underWay = new Map<keyof typeof tasks, Promise<void>>();
  const begin = (task: keyof typeof tasks, work: () => Promise<void>) => {
    if (!underWay.has(task))
      underWay.set(
        task,
        work().finally(() => void underWay.delete(task)),
      );
  };
  const shrink = walShrinker(context);
  const timer = setInterval(() => {
    begin('sweep', () => sweep(context, stopping.signal));
    // Beside it: what is due is not to wait until all is deleted that ended long ago.
    begin('prune', () => prune(context, stopping.signal));
    begin('shrink', shrink);
  }, context.config.sweepSeconds * 1000);
  timer.unref();

  return {
    stop: async () => {
      clearInterval(timer);
      stopping.abort();
      await Promise.all(underWay.values());
      await sweep(context, stopping.signal);
    },
  };
}

/** Marks and writes down, a batch at most once told to stop. A failure is logged: the next pass makes up for it. */
export async function sweep(context: Context, stop?: AbortSignal): Promise<void> {
  const { store, now, keyUse } = context;
  const used = new Map(keyUse);
  await watched(context, 'sweep', async () => {
    await inTransaction(store.db, (trx) => recordKeyUse(trx, used));
    for (const [id, time] of used) if (keyUse.get(id) === time) keyUse.delete(id);
    // A few at a time: requests get their turn in between.
    const isMore = async () =>
      (await inTransaction(store.db, (trx) => endDueSandboxes(trx, now(), batchSize))) === batchSize;
    while ((await isMore()) && !stop?.aborted) await nextTurn();
  });
}

/** Deletes what is kept no longer and gives back the space, requests getting their turn in between. Failures are logged. */
export async function prune(context: Context, stop?: AbortSignal): Promise<void> {
  const { store, log, now } = context;
  const { retention, eventRetention } = context.config;
  const inSteps = async (what: string, step: (trx: Trx) => Promise<number>) => {
    let deleted = 0;
    for (let count = 1; count > 0 && !stop?.aborted; await nextTurn()) {
      count = await inTransaction(store.db, step);
      deleted += count;
    }
    if (deleted > 0) log.info({ deleted }, `deleted ${what}`);
  };
  await watched(context, 'prune', async () => {
    if (retention !== undefined) {
      await inSteps('what ended long ago', (trx) => deleteEnded(trx, now(), now() - retention, rowsInStep));
    }
    if (eventRetention !== undefined) {
      const age = () => ({ now: now(), before: now() - eventRetention });
      await inSteps('old events', (trx) => deleteOldEvents(trx, age(), eventsInStep));
      await inSteps('old webhook deliveries', (trx) => deleteDeliveries(trx, now() - eventRetention, eventsInStep));
    }
    while (!stop?.aborted && (await giveBackSpace(store, pagesInStep))) await nextTurn();
  });
}

/** Returns a function that gives back what the write-ahead log has grown by. A log that stays large is reported once. */
export function walShrinker(context: Context): () => Promise<void> {
  const { store, log } = context;
  let wasSmall = true;
  return () =>
    watched(context, 'shrink', async () => {
      const isSmall = await shrinkWal(store);
      if (wasSmall && !isSmall) {
        log.warn(
          { bytes: walBytes(store) },
          'the write-ahead log grows: another process reads an earlier state, or writes',
        );
      }
      wasSmall = isSmall;
    });
}

/** A failure is told of and no more. */
async function watched({ log, metrics }: Context, task: keyof typeof tasks, work: () => Promise<void>): Promise<void> {
  const begin = performance.now();
  let hasFailed = false;
  try {
    await work();
  } catch (error) {
    hasFailed = true;
    if (error instanceof StoreError && error.code === 'busy') log.warn(`${tasks[task]} put off: the database is busy`);
    else log.error({ err: error }, `${tasks[task]} failed`);
  }
  metrics?.swept(task, (performance.now() - begin) / 1000, hasFailed);
}
