import { closeSync, existsSync, openSync } from 'node:fs';
import Database from 'better-sqlite3';
import { maxWriteWaitMilliseconds } from '../../store.ts';
import { embeddedAddon } from './addon.ts';
import { unusable } from './failures.ts';

/** The size that the write-ahead log's file is truncated to after a checkpoint. */
export const maxIdleWalBytes = 2 ** 24;

/** Returns a bare connection to a database. Throws what better-sqlite3 throws. */
export function connect(file: string, options: Database.Options = {}): Database.Database {
  return new Database(file, { ...options, ...embeddedAddon() });
}

/**
 * Opens a database file, or `:memory:`; creates the file if it is missing.
 * Throws StoreError `unusable` with the reason.
 */
export function openSqlite(file: string): Database.Database {
  try {
    // The file holds the environments of sandboxes, so only its owner may read it. SQLite gives the
    // write-ahead log the same mode.
    if (file !== ':memory:' && !existsSync(file)) closeSync(openSync(file, 'a', 0o600));
    const sqlite = connect(file, { timeout: maxWriteWaitMilliseconds });
    // Reads before the first pragma that writes, so that a file that isn't a database stays
    // unchanged.
    sqlite.prepare('select count(*) from sqlite_master').get();
    return sqlite;
  } catch (error) {
    throw unusable(file, error);
  }
}

/** Sets the pragmas of every connection. Call it once the file is known to be Sandpit's. */
export function configure(sqlite: Database.Database): void {
  // Readers and the writer don't block one another, and a commit is one fsync.
  sqlite.pragma('journal_mode = wal');
  // Without a limit, the log's file would keep the largest size that a long read made it grow to.
  sqlite.pragma(`journal_size_limit = ${maxIdleWalBytes}`);
  // A commit returns once it is on disk, so an acknowledged write survives a power cut.
  sqlite.pragma('synchronous = full');
  sqlite.pragma('foreign_keys = on');
  // 64 MiB instead of 2: the rows of a list, and the ids and pairs of an import, are spread over
  // the file.
  sqlite.pragma('cache_size = -65536');
  // Memory mapping reads pages outside of the cache a quarter faster than system calls.
  sqlite.pragma('mmap_size = 2147418112');
  // What is taken back of a change that shares a transaction must not need room on another disk.
  sqlite.pragma('temp_store = memory');
  // Waiting inside SQLite would block the whole process; `inTransaction` waits without blocking.
  sqlite.pragma('busy_timeout = 0');
}

/** Returns the version of SQLite. */
export function sqliteVersion(): string {
  const sqlite = openSqlite(':memory:');
  try {
    return sqlite.prepare('select sqlite_version()').pluck().get() as string;
  } finally {
    sqlite.close();
  }
}

/**
 * Checks the pages of a database with `quick_check` or the slower `integrity_check`. Returns at
 * most `limit` problems; none if the database is sound.
 */
export function damageOf(sqlite: Database.Database, check: 'quick_check' | 'integrity_check', limit: number): string[] {
  const rows = sqlite.prepare<[], string>(`pragma ${check}(${limit})`).pluck().all();
  return rows.flatMap((row) => row.split('\n')).filter((line) => line !== 'ok' && !line.startsWith('***'));
}
