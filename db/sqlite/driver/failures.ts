import { statfsSync } from 'node:fs';
import Database from 'better-sqlite3';
import { StoreError } from '../../errors.ts';

/** Returns whether an error is a violated UNIQUE or PRIMARY KEY constraint. */
export function isUniqueViolation(error: unknown): boolean {
  return codeOf(error) === 'SQLITE_CONSTRAINT_UNIQUE' || codeOf(error) === 'SQLITE_CONSTRAINT_PRIMARYKEY';
}

/** Returns whether another connection holds the lock that an operation needed. */
export function isBusy(error: unknown): boolean {
  return codeOf(error)?.startsWith('SQLITE_BUSY') ?? false;
}

/** Returns whether the database file was removed or replaced after it was opened. */
export function isMoved(error: unknown): boolean {
  return codeOf(error) === 'SQLITE_READONLY_DBMOVED';
}

/** Returns the StoreError for a failing disk or a locked database; any other error unchanged. */
export function failureOf({ name }: Database.Database, error: unknown): unknown {
  const code = codeOf(error);
  if (isBusy(error)) return new StoreError('busy', 'the database is busy with another process', { cause: error });
  if (!code || !diskCode.test(code)) return error;
  return code === 'SQLITE_FULL' || isFull(name)
    ? new StoreError('full', 'The disk is full: nothing can be written until there is room', { cause: error })
    : new StoreError('inaccessible', 'The database is read-only, or its disk fails', { cause: error });
}

const diskCode = /^SQLITE_(FULL|READONLY|IOERR|CANTOPEN)/;

/**
 * On a full disk, SQLite reports `SQLITE_FULL` for writes but `SQLITE_IOERR` for some other calls.
 */
function isFull(file: string): boolean {
  try {
    return statfsSync(file).bavail === 0;
  } catch {
    return false;
  }
}

/** Returns the StoreError `unusable` that explains why a database can't be opened. */
export function unusable(file: string, cause: unknown): StoreError {
  return new StoreError('unusable', `can't open the database ${file}: ${reasonOf(cause)}`, { cause });
}

/** Returns a short explanation of why a database file can't be used. */
export function reasonOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'its folder does not exist';
  if (code === 'EISDIR') return 'it is a folder';
  if (code === 'EROFS') return 'its file system is read-only';
  if (code === 'EACCES' || code === 'EPERM' || code?.startsWith('SQLITE_READONLY')) return 'this user may not write it';
  if (code === 'ENOSPC' || code === 'SQLITE_FULL') return 'the disk is full';
  if (codeOf(error) === 'SQLITE_NOTADB') return 'the file is not a SQLite database';
  if (codeOf(error)?.startsWith('SQLITE_CANTOPEN')) return 'it is not a file, or this user may not read or write it';
  return error instanceof Error ? error.message : String(error);
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Database.SqliteError ? error.code : undefined;
}
