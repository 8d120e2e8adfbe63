import type { Database } from 'better-sqlite3';
import { Kysely } from 'kysely';
import { StoreError } from '../errors.ts';
import type { Tables } from '../schema.ts';
import type { Store } from '../store.ts';
import { configure, openSqlite } from './driver/connection.ts';
import { ImmediateDialect } from './driver/dialect.ts';
import { unusable } from './driver/failures.ts';
import { watchEvents } from './event-watch.ts';
import { installMembers } from './index/pairs.ts';
import { isMigrated, knownMigration, migrate } from './migrations/migrate.ts';
import { hasLogFile, isMarkedOpen, markClosed, markOpen } from './open-mark.ts';
import { lockForServer } from './server-lock.ts';
import { giveBackSpace, shrinkLog, sizesOf } from './space.ts';

export type SqliteStore = Store & {
  sqlite: Database;
  /**
   * Calls the listener after each commit of a transaction that is not read-only. Returns a
   * function that stops this.
   */
  onCommit: (listener: () => void) => () => void;
};

/**
 * Opens the store in `file` like `openStore`, as the file's only server, and marks it as open.
 * Throws StoreError `busy` when another server has it.
 */
export function openAlone(file: string): SqliteStore {
  if (file === ':memory:') return openStore(file);
  const lock = lockForServer(file);
  try {
    const hadLog = hasLogFile(file);
    const store = openStore(file);
    const lacksLog = !hadLog && isMarkedOpen(store.sqlite);
    markOpen(store.sqlite);
    const close = async () => {
      attempt(() => markClosed(store.sqlite));
      await store.close().finally(lock.release);
    };
    return { ...store, lacksLog, close };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * Removes the mark that a killed server left. Opening the store has recovered what was in the
 * write-ahead log, so the database is complete again.
 */
export function clearOpenMark({ sqlite }: SqliteStore, hadLog: boolean): void {
  if (!hadLog || !isMarkedOpen(sqlite)) return;
  attempt(() => {
    const lock = lockForServer(sqlite.name, 0);
    attempt(() => markClosed(sqlite));
    lock.release();
  });
}

/**
 * Ignores failures: the mark is a convenience, and a full disk must not hide the result of the
 * real work.
 */
function attempt(work: () => void): void {
  try {
    work();
  } catch {}
}

/**
 * Opens the store in `file` and migrates it to this version. The name `:memory:` opens a store that
 * lasts as long as the process. Throws StoreError `unusable` when the file can't hold a store.
 */
export function openStore(file: string): SqliteStore {
  return open(file, migrate);
}

/**
 * Opens the store in `file` with the schema that it has, which may be an earlier version's.
 * Throws StoreError `unusable` when the file is empty or not a store.
 */
export function openUnmigrated(file: string): SqliteStore {
  return open(file, (sqlite) => {
    if (knownMigration(sqlite) === 0) throw new StoreError('unusable', `the database ${file} is empty`);
    return [];
  });
}

function open(file: string, prepare: (sqlite: Database) => string[]): SqliteStore {
  const sqlite = openSqlite(file);
  let backups: string[];
  try {
    backups = prepare(sqlite);
    configure(sqlite);
    installMembers(sqlite);
  } catch (error) {
    sqlite.close();
    throw error instanceof StoreError ? error : unusable(file, error);
  }
  return storeOf(sqlite, backups);
}

function storeOf(sqlite: Database, backups: string[]): SqliteStore {
  const listeners = new Set<() => void>();
  const db = new Kysely<Tables>({ dialect: new ImmediateDialect(sqlite, listeners) });
  const onCommit = (listener: () => void) => {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  };
  return {
    db,
    sqlite,
    onCommit,
    backups,
    lacksLog: false,
    isMigrated: async () => isMigrated(sqlite),
    sizes: () => sizesOf(sqlite),
    giveBackSpace: (pages) => giveBackSpace(db, sqlite, pages),
    shrinkLog: () => shrinkLog(db, sqlite),
    watchEvents: (listener) => watchEvents(sqlite, onCommit, listener),
    // Kysely closes the connection only if it has used it.
    close: () => db.destroy().finally(() => sqlite.close()),
  };
}
