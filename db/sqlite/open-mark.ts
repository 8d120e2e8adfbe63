import { existsSync, realpathSync } from 'node:fs';
import type Database from 'better-sqlite3';

/**
 * SQLite's `user_version`, in the first page of the database file, says whether a server has the database open. A copy
 * of the file alone, taken meanwhile, says so as well: what was still in the write-ahead log is missing from it.
 * Databases of earlier versions have 0.
 */
const closed = 1;
const open = 2;

/** Marks the database as open, in the file itself and not only in the write-ahead log, as far as no reader is in the way. */
export function markOpen(sqlite: Database.Database): void {
  sqlite.pragma(`user_version = ${open}`);
  sqlite.pragma('wal_checkpoint(passive)');
}

/** Marks the database as whole. It becomes so when the last connection closes, or is a copy that is whole. */
export function markClosed(sqlite: Database.Database): void {
  if (isMarkedOpen(sqlite)) sqlite.pragma(`user_version = ${closed}`);
}

export function isMarkedOpen(sqlite: Database.Database): boolean {
  return sqlite.pragma('user_version', { simple: true }) === open;
}

/** Says whether a database has a write-ahead log. Ask before it is opened: opening makes one. */
export function hasLogFile(file: string): boolean {
  return existsSync(file) && existsSync(`${realpathSync(file)}-wal`);
}
