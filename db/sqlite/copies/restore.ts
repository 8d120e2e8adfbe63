import { chownSync, existsSync, realpathSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type Database from 'better-sqlite3';
import { StoreError } from '../../errors.ts';
import { connect } from '../driver/connection.ts';
import { isBusy, reasonOf } from '../driver/failures.ts';
import { applicationId, knownMigration } from '../migrations/migrate.ts';
import { hasLogFile, isMarkedOpen } from '../open-mark.ts';
import { type Copying, copyDatabase } from './backup.ts';
import { companions, isSameFile, partialName, putInPlace, removeDatabase } from './files.ts';

/**
 * Puts a copy of the backup `file` in place of the database `target`. Whenever it ends, the old one or the new one is there, whole.
 * Throws StoreError `unusable` when the backup is not sound, another program's or a newer Sandpit's; `conflict` when
 * there is a database and it is to be kept, `busy` when a process has it open.
 */
export async function restore(
  file: string,
  target: string,
  { force, mayLackLog = false, ...copying }: Copying & { force: boolean; mayLackLog?: boolean },
): Promise<void> {
  requireReplaceable(file, target, force);
  const path = existsSync(target) ? realpathSync(target) : target;
  const partial = partialName(path);
  try {
    await copyBackup(file, partial, mayLackLog, copying);
    requireReplaceable(file, target, force);
    await replace(partial, path);
  } catch (error) {
    removeDatabase(partial);
    if (copying.stop.aborted || (error instanceof StoreError && error.code === 'busy')) throw error;
    throw new StoreError('unusable', `can't restore ${file}: ${reasonOf(error)}`, { cause: error });
  }
}

async function copyBackup(file: string, partial: string, mayLackLog: boolean, copying: Copying): Promise<void> {
  const hadLog = hasLogFile(file);
  // With a log beside it, the file is to stay as it is: an ordinary connection would write the log back into it.
  const backup = connect(file, { fileMustExist: true, readonly: hadLog });
  try {
    if (!hadLog && !mayLackLog && isMarkedOpen(backup)) throw new StoreError('unusable', withoutLog(file));
    if (knownMigration(backup) === 0) throw new StoreError('unusable', 'it is empty');
    await copyDatabase(backup, partial, copying);
  } finally {
    backup.close();
  }
}

function withoutLog(file: string): string {
  return (
    `it was copied while a server had it open, or the server was killed, and its write-ahead log ${file}-wal is not ` +
    'beside it: the latest changes are missing. Copy that file, too, or take backups with `sandpit backup`; ' +
    '--without-log restores it as it is'
  );
}

async function replace(partial: string, target: string): Promise<void> {
  const old = existsSync(target) ? seize(target) : null;
  try {
    if (old) goOnBehind(old, partial);
    // Before the rename: what SQLite finds beside a database it takes for that database's.
    for (const suffix of companions) await rm(`${target}${suffix}`, { force: true });
    giveToOwner(partial, target);
    putInPlace(partial, target);
    takeMarkOff(old);
  } finally {
    old?.close();
  }
}

/**
 * Has the restored log go on behind the end of the old one: a place names one event for ever, or whoever has read on to
 * there would miss what comes under it again.
 */
function goOnBehind(old: Database.Database, partial: string): void {
  const end = endOfLog(old);
  if (end === 0) return;
  const restored = connect(partial);
  try {
    if (!hasLog(restored) || endOfLog(restored) >= end) return;
    restored.exec("delete from sqlite_sequence where name = 'events'");
    restored.prepare("insert into sqlite_sequence (name, seq) values ('events', ?)").run(end);
  } finally {
    restored.close();
  }
}

function endOfLog(sqlite: Database.Database): number {
  if (!hasLog(sqlite)) return 0;
  return (sqlite.prepare("select seq from sqlite_sequence where name = 'events'").pluck().get() as number) ?? 0;
}

function hasLog(sqlite: Database.Database): boolean {
  return sqlite.prepare("select 1 from sqlite_master where name = 'events'").get() !== undefined;
}

/** The new database is in place: what becomes of the old one can't undo that. */
function takeMarkOff(old: Database.Database | null): void {
  try {
    old?.exec('commit');
  } catch {
    // Its disk is full, say.
  }
}

/** Root restores for the user that the server runs as: who owns the old database, or the folder. */
function giveToOwner(partial: string, target: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(existsSync(target) ? target : dirname(target));
  chownSync(partial, uid, gid);
}

/**
 * Returns the only connection that there is to a database, its write-ahead log written back and gone. Committing takes the mark off
 * that makes it Sandpit's: a server that has just opened the file, and waits, must not take a file without a name for its database.
 * Throws StoreError `busy` when another process has it open, `unusable` when it can't be told.
 */
function seize(file: string): Database.Database {
  const old = connect(file, { fileMustExist: true, timeout: 0 });
  try {
    old.pragma('locking_mode = exclusive');
    // With a write-ahead log, whoever has the database open holds a lock on it all the time, which this is refused for.
    old.pragma('journal_mode = delete');
    // No file beside a database that will have lost its name.
    old.pragma('journal_mode = memory');
    old.exec('begin exclusive');
    requireOurs(old);
    old.pragma('application_id = 0');
    return old;
  } catch (error) {
    old.close();
    if (error instanceof StoreError) throw error;
    if (isBusy(error)) {
      const message = `${file} is in use by a server or another command: stop it first, it would not see the change`;
      throw new StoreError('busy', message, { cause: error });
    }
    const message = `${file}, which it is to replace, can't be locked (${reasonOf(error)}): move it away first`;
    throw new StoreError('unusable', message, { cause: error });
  }
}

function requireOurs(old: Database.Database): void {
  const tables = old.prepare('select count(*) from sqlite_master').pluck().get();
  if (tables === 0 || old.pragma('application_id', { simple: true }) === applicationId) return;
  throw new StoreError('unusable', `${old.name}, which it is to replace, is another program's database`);
}

function requireReplaceable(file: string, target: string, force: boolean): void {
  if (!existsSync(file)) throw new StoreError('not_found', `there is no file ${file}`);
  if (isSameFile(file, target)) throw new StoreError('invalid', `${file} is the database itself`);
  if (existsSync(target) && !force) throw new StoreError('conflict', `${target} exists already: --force replaces it`);
}
