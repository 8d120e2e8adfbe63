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
 * Replaces the database `target` by a copy of the backup `file`. Even after a crash, either the
 * old or the new database is there, complete. Throws StoreError `not_found` when there is no
 * backup, `invalid` when it is the database itself, `unusable` when it is damaged or comes from
 * another program or a newer Sandpit, `conflict` when the database exists and `force` is not set,
 * `busy` when a process has it open.
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
  // An ordinary connection would write the log back into the backup, which must stay unchanged.
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
    if (old) continueEventLog(old, partial);
    // Before the rename, or SQLite would apply the old database's files to the new one.
    for (const suffix of companions) await rm(`${target}${suffix}`, { force: true });
    giveToOwner(partial, target);
    putInPlace(partial, target);
    removeMark(old);
  } finally {
    old?.close();
  }
}

/**
 * Makes the restored event log continue after the end of the old one. A sequence number must never
 * be used twice: a client that has read up to it would miss the second event.
 */
function continueEventLog(old: Database.Database, partial: string): void {
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

/**
 * Commits what `seize` began. The new database is in place already, so a failure changes nothing.
 */
function removeMark(old: Database.Database | null): void {
  try {
    old?.exec('commit');
  } catch {
    // For example, its disk is full.
  }
}

/**
 * When root restores, gives the file to the server's user: the owner of the old database, or of
 * the folder.
 */
function giveToOwner(partial: string, target: string): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(existsSync(target) ? target : dirname(target));
  chownSync(partial, uid, gid);
}

/**
 * Returns an exclusive connection to a database, after writing back its write-ahead log. Its open
 * transaction removes the application id: a server that has opened the file and waits for the lock
 * must not go on with a database that has been replaced. Throws StoreError `busy` when another
 * process has the database open, `unusable` when it can't be locked.
 */
function seize(file: string): Database.Database {
  const old = connect(file, { fileMustExist: true, timeout: 0 });
  try {
    old.pragma('locking_mode = exclusive');
    // In WAL mode, every connection holds a shared lock all the time, so this fails if there is
    // another one.
    old.pragma('journal_mode = delete');
    // Keeps the journal in memory: a journal file would remain beside the new database.
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
