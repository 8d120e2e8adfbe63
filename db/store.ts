import { engineOf } from './engine.ts';
import type { Db, Trx } from './schema.ts';

export type { Db, Trx };

/** An open database, with the operations that are not queries. */
export type Store = {
  db: Db;
  /** The names of the copies that were made before the schema was upgraded. */
  backups: string[];
  /**
   * Whether the write-ahead log is missing although the last server did not close the database.
   * Only opening it for a server checks this.
   */
  lacksLog: boolean;
  /** Returns whether the schema is this version's. Throws when the database does not answer. */
  isMigrated: () => Promise<boolean>;
  sizes: () => StoreSizes;
  /** Returns at most `pages` empty pages to the file system. Returns whether there may be more. */
  giveBackSpace: (pages: number) => Promise<boolean>;
  /** Truncates an oversized write-ahead log. Returns whether the log is small afterwards. */
  shrinkLog: () => Promise<boolean>;
  /**
   * Calls the listener after commits that may have recorded events, this process's at once and
   * other processes' within a second. Returns a function that stops this.
   */
  watchEvents: (listener: (owners: Owners) => void) => () => void;
  close: () => Promise<void>;
};

/**
 * Sizes in bytes. `total` includes the write-ahead log; `free` is the empty part of the database
 * file.
 */
export type StoreSizes = { total: number; log: number; free: number };

/** The owners who may have new events; null if it may be anyone. */
export type Owners = ReadonlySet<number> | null;

/** How long a write waits for another process, such as an import, to release the write lock. */
export const maxWriteWaitMilliseconds = 3_000;

/**
 * Runs `change` in a transaction and returns its result once it is on disk. Inside, use only `trx`:
 * a query through the outer `db` would wait for this transaction forever. If `db` is a transaction,
 * `change` joins it. Changes that wait at the same time share one commit, and fail apart.
 * Throws StoreError `busy` when another process keeps the write lock, `full` or `inaccessible`
 * when the disk fails.
 */
export async function inTransaction<T>(db: Db, change: (trx: Trx) => Promise<T>): Promise<T> {
  if (db.isTransaction) return change(db as Trx);
  return engineOf(db).transact(db, change, maxWriteWaitMilliseconds);
}

/**
 * Runs `read` on one snapshot of the database, unaffected by concurrent writes, and returns its
 * result. If `db` is a transaction, `read` joins it.
 */
export async function inSnapshot<T>(db: Db, read: (trx: Trx) => Promise<T>): Promise<T> {
  if (db.isTransaction) return read(db as Trx);
  return db.transaction().setAccessMode('read only').execute(read);
}
