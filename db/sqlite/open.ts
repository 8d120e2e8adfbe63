import type { Database } from 'better-sqlite3';
import { Kysely } from 'kysely';
import { StoreError } from '../errors.ts';
import type { Tables } from '../schema.ts';
import type { Db } from '../store.ts';
import { configure, openSqlite } from './driver/connection.ts';
import { ImmediateDialect } from './driver/dialect.ts';
import { unusable } from './driver/failures.ts';
import { installMembers } from './index/pairs.ts';
import { knownMigration, migrate } from './migrations/migrate.ts';
import { hasLogFile, isMarkedOpen, markClosed, markOpen } from './open-mark.ts';
import { lockForServer } from './server-lock.ts';

export type Store = {
  db: Db;
  sqlite: Database;
  /** Has `told` called after each write transaction of this store, once it is on disk. Returns how to end that. */
  onCommit: (told: () => void) => () => void;
  /** what was copied before it was upgraded: the names of the copies */
  backups: string[];
  /** Whether the last server did not close the database and its write-ahead log is gone. Only servers look. */
  lacksLog: boolean;
  close: () => Promise<void>;
};

/**
 * Returns the store in `file` as `openStore` does, for the only server that may have it, and marks it as open.
 * Throws StoreError `busy` when another server has it.
 */
export function openAlone(file: string): Store {
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

/** After a server was killed, marks as whole what this store has put together from the file and its log. */
export function settle({ sqlite }: Store, hadLog: boolean): void {
  if (!hadLog || !isMarkedOpen(sqlite)) return;
  attempt(() => {
    const lock = lockForServer(sqlite.name, 0);
    attempt(() => markClosed(sqlite));
    lock.release();
  });
}

/** The mark is a help, no more: a full disk, say, is not to hide how the work itself ended. */
function attempt(work: () => void): void {
  try {
    work();
  } catch {}
}

/**
 * Returns the store in `file` (`:memory:` for one that lives as long as the process), migrated to this version.
 * Throws StoreError `unusable` when the file can't be one.
 */
export function openStore(file: string): Store {
  return open(file, migrate);
}

/**
 * Returns the store in `file` with the schema that it has, which may be an earlier version's.
 * Throws StoreError `unusable` when there is none.
 */
export function openUnmigrated(file: string): Store {
  return open(file, (sqlite) => {
    if (knownMigration(sqlite) === 0) throw new StoreError('unusable', `the database ${file} is empty`);
    return [];
  });
}

function open(file: string, prepare: (sqlite: Database) => string[]): Store {
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
  const listeners = new Set<() => void>();
  const db = new Kysely<Tables>({ dialect: new ImmediateDialect(sqlite, listeners) });
  const onCommit = (told: () => void) => {
    listeners.add(told);
    return () => void listeners.delete(told);
  };
  // Kysely closes only what it has used.
  return { db, sqlite, onCommit, backups, lacksLog: false, close: () => db.destroy().finally(() => sqlite.close()) };
}
