import { setTimeout as delay } from 'node:timers/promises';
import type { Kysely, Transaction } from 'kysely';
import { StoreError } from './errors.ts';
import type { Tables } from './schema.ts';

export type Db = Kysely<Tables>;
export type Trx = Transaction<Tables>;

/** How long a write waits for another process, for example an import, to finish its own. */
export const maxWriteWaitMilliseconds = 3_000;

/**
 * Runs `change` in one transaction and returns its result. Inside, use only the given `trx`: the outer `db` would wait
 * for this very transaction. Given a transaction, it runs in that one.
 * Throws StoreError `busy` when another process keeps the write lock, `full` or `inaccessible` when the disk fails.
 */
export async function inTransaction<T>(db: Db, change: (trx: Trx) => Promise<T>): Promise<T> {
  if (db.isTransaction) return change(db as Trx);
  const deadline = performance.now() + maxWriteWaitMilliseconds;
  for (;;) {
    try {
      return await db.transaction().execute(change);
    } catch (error) {
      const isBusy = error instanceof StoreError && error.code === 'busy';
      if (!isBusy || performance.now() > deadline) throw error;
      await delay(5);
    }
  }
}

/**
 * Runs `ask` on one snapshot of the database, whatever is written meanwhile, and returns its result. Given a
 * transaction, it runs in that one.
 */
export async function inSnapshot<T>(db: Db, ask: (trx: Trx) => Promise<T>): Promise<T> {
  if (db.isTransaction) return ask(db as Trx);
  return db.transaction().setAccessMode('read only').execute(ask);
}
