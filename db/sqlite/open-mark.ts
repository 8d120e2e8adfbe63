import { existsSync, realpathSync } from 'node:fs';
import type Database from 'better-sqlite3';

/**
 * SQLite's `user_version`, in the first page of the file, marks that a server has the database
 * open. A copy of only this file, taken in between, has the mark as well, and so shows that it may
 * lack changes that were still in the write-ahead log. Databases of earlier versions have 0.
 */
const closed = 1;
const open = 2;

/**
 * Marks the database as open. The checkpoint moves the mark to the file itself, unless a reader
 * prevents that.
 */
export function markOpen(sqlite: Database.Database): void {
  sqlite.pragma(`user_version = ${open}`);
  sqlite.pragma('wal_checkpoint(passive)');
}

/**
 * Marks the database as complete: its last connection is about to close, or it is a complete copy.
 */
export function markClosed(sqlite: Database.Database): void {
  if (isMarkedOpen(sqlite)) sqlite.pragma(`user_version = ${closed}`);
}

export function isMarkedOpen(sqlite: Database.Database): boolean {
  return sqlite.pragma('user_version', { simple: true }) === open;
}

/** Returns whether a database has a write-ahead log. Call it before opening, which creates one. */
export function hasLogFile(file: string): boolean {
  return existsSync(file) && existsSync(`${realpathSync(file)}-wal`);
}
