import { type DialectAdapter, type RawBuilder, sql } from 'kysely';
import type { MetadataIndex } from './metadata-index.ts';
import type { Db, Trx } from './schema.ts';

/** What shared queries need from the database engine because engines differ in it. */
export type Engine = {
  /**
   * Runs a query at once and returns its rows; null if the database is in the middle of a
   * transaction that is not this one: then it has to wait. Engines that answer later have none.
   */
  runNow?: (db: Db, text: string, parameters: readonly unknown[]) => unknown[] | null;
  /**
   * Returns a text that is another one after each change of the database, also by other processes.
   * Engines that can't tell have none.
   */
  version?: () => string;
  /**
   * Runs a change in a transaction, and returns its result once that is committed. Waits at most so
   * many milliseconds for other processes. Throws what the change throws, and StoreError `busy`,
   * `full` or `inaccessible`.
   */
  transact: <T>(db: Db, change: (trx: Trx) => Promise<T>, patience: number) => Promise<T>;
  /** Returns whether an error is a violated unique constraint. */
  isUniqueViolation: (error: unknown) => boolean;
  /**
   * Returns SQL for the right side of `in`, where the parameter is a list encoded by
   * `listParameter`.
   */
  inList: (parameter: RawBuilder<unknown>) => RawBuilder<unknown>;
  listParameter: (values: readonly unknown[]) => unknown;
  /**
   * SQL for the highest sequence number that an event ever got, deleted events included; 0 if
   * none.
   */
  lastEventSeq: RawBuilder<number>;
  index: MetadataIndex;
};

/** A dialect's adapter carries its engine: Kysely hands the same adapter to every transaction. */
export type EngineAdapter = DialectAdapter & { readonly engine: Engine };

/** Returns the engine of a store or transaction. */
export function engineOf(db: Db): Engine {
  return (db.getExecutor().adapter as EngineAdapter).engine;
}

/**
 * Returns SQL for the right side of `in`. One parameter holds the list, so the SQL doesn't depend
 * on its length.
 */
export function inList<T>(db: Db, values: readonly T[]): RawBuilder<T> {
  const { inList: asSql, listParameter } = engineOf(db);
  return asSql(sql`${listParameter(values)}`) as RawBuilder<T>;
}
