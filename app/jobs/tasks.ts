import { setImmediate as nextTurn } from 'node:timers/promises';
import { recordKeyUse } from '../../db/accounts/api-keys.ts';
import { failForgotten } from '../../db/builds/finish.ts';
import { StoreError } from '../../db/errors.ts';
import { deleteOldEvents } from '../../db/events/log.ts';
import { endDueSandboxes } from '../../db/sandboxes/expire.ts';
import { deleteOldKeys } from '../../db/sandboxes/idempotency.ts';
import { deleteEnded } from '../../db/sandboxes/prune.ts';
import { inTransaction, type Trx } from '../../db/store.ts';
import { deleteDeliveries } from '../../db/webhooks/deliveries.ts';
import type { Context } from '../context.ts';

/** The tasks by their name in the metrics, with their name in the log. */
const tasks = { sweep: 'sweep', prune: 'prune', shrink: 'shrinking the write-ahead log' };

export type Task = keyof typeof tasks;

/** How many expired sandboxes one transaction ends. */
const sweepBatch = 500;

/** How much one transaction of `prune` deletes or frees: requests wait that long. */
const sandboxesPerStep = 50;
const eventsPerStep = 500;
const pagesPerStep = 256;

/** How long an `Idempotency-Key` is kept. The contract promises this. */
const keyMilliseconds = 86_400_000;

/**
 * Writes the recorded uses of API keys to the database, then kills or pauses expired sandboxes, in
 * batches between which requests get their turn. Once `stop` is aborted, at most one more batch
 * follows. Failures are logged: the next run makes up for them.
 */
export async function sweep(context: Context, stop?: AbortSignal): Promise<void> {
  const { store, now, keyUse } = context;
  await runTask(context, 'sweep', async () => {
    const used = new Map(keyUse);
    await inTransaction(store.db, (trx) => recordKeyUse(trx, used));
    for (const [id, time] of used) if (keyUse.get(id) === time) keyUse.delete(id);
    const endBatch = () => inTransaction(store.db, (trx) => endDueSandboxes(trx, now(), sweepBatch));
    while ((await endBatch()) === sweepBatch && !stop?.aborted) await nextTurn();
  });
}

/**
 * Deletes `Idempotency-Key`s older than a day, sandboxes that ended longer than `retention` ago,
 * and events and webhook deliveries older than `eventRetention`; ends builds of templates that were
 * never begun; then gives free space back to the disk. It works in small steps, between which
 * requests get their turn, and ends early once `stop` is aborted. Failures are logged.
 */
export async function prune(context: Context, stop?: AbortSignal): Promise<void> {
  const { store, log, now } = context;
  const { retention, eventRetention } = context.config;
  const deleteInSteps = async (what: string, deleteStep: (trx: Trx) => Promise<number>) => {
    let deleted = 0;
    for (let count = 1; count > 0 && !stop?.aborted; await nextTurn()) {
      count = await inTransaction(store.db, deleteStep);
      deleted += count;
    }
    if (deleted > 0) log.info({ deleted }, `deleted ${what}`);
  };
  await runTask(context, 'prune', async () => {
    await deleteInSteps('old idempotency keys', (trx) => deleteOldKeys(trx, now() - keyMilliseconds, eventsPerStep));
    for (let failed = 1; failed > 0 && !stop?.aborted; await nextTurn()) {
      failed = await inTransaction(store.db, (trx) => failForgotten(trx, now(), eventsPerStep));
    }
    if (retention !== undefined) {
      await deleteInSteps('old sandboxes', (trx) => deleteEnded(trx, now(), now() - retention, sandboxesPerStep));
    }
    if (eventRetention !== undefined) {
      const before = () => now() - eventRetention;
      await deleteInSteps('old events', (trx) => {
        return deleteOldEvents(trx, { now: now(), before: before() }, eventsPerStep);
      });
      await deleteInSteps('old webhook deliveries', (trx) => deleteDeliveries(trx, before(), eventsPerStep));
    }
    while (!stop?.aborted && (await store.giveBackSpace(pagesPerStep))) await nextTurn();
  });
}

/**
 * Returns the task that shrinks the write-ahead log. It logs a warning the first time the log stays
 * large, and again only after the log was small in between.
 */
export function walShrinker(context: Context): () => Promise<void> {
  const { store, log } = context;
  let wasSmall = true;
  return () =>
    runTask(context, 'shrink', async () => {
      const isSmall = await store.shrinkLog();
      if (wasSmall && !isSmall) {
        log.warn(
          { bytes: store.sizes().log },
          'the write-ahead log grows: another process reads an old snapshot, or is writing',
        );
      }
      wasSmall = isSmall;
    });
}

/** Runs a task, reports its duration to the metrics, and logs its failure. */
async function runTask({ log, metrics }: Context, task: Task, run: () => Promise<void>): Promise<void> {
  const begin = performance.now();
  let hasFailed = false;
  try {
    await run();
  } catch (error) {
    hasFailed = true;
    if (error instanceof StoreError && error.code === 'busy') {
      log.warn(`${tasks[task]} postponed: the database is busy`);
    } else log.error({ err: error }, `${tasks[task]} failed`);
  }
  metrics?.swept(task, (performance.now() - begin) / 1000, hasFailed);
}
