import { existsSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { StoreError } from '../../errors.ts';
import { connect, damageOf } from '../driver/connection.ts';
import { reasonOf } from '../driver/failures.ts';
import { applicationId } from '../migrations/migrate.ts';
import { markClosed } from '../open-mark.ts';
import { companions, createPrivate, partialName, putInPlace, removeDatabase, requireReplaceable } from './files.ts';

/** How many pages are copied before others, a signal say, get their turn. */
const pagesAtATime = 1000;

export type Copying = {
  stop: AbortSignal;
  /** told how much is done, from 0 to 1 */
  onProgress: (share: number) => void;
};

/**
 * Copies a database as it is now into `file`, while others read and write it. Whatever fails, nothing is left behind.
 * Throws StoreError `conflict` when there is such a file and it is to be kept, `unusable` when it can't be written.
 */
export async function backUp(
  sqlite: Database.Database,
  file: string,
  { force, ...copying }: Copying & { force: boolean },
): Promise<void> {
  requireFree(sqlite.name, file, force);
  const partial = partialName(file);
  try {
    await copyDatabase(sqlite, partial, copying);
    requireFree(sqlite.name, file, force);
    putInPlace(partial, file);
  } catch (error) {
    removeDatabase(partial);
    if (copying.stop.aborted || error instanceof StoreError) throw error;
    throw new StoreError('unusable', `can't write the backup ${file}: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * Copies a database into a new file, the write-ahead log included, and checks the copy.
 * Throws StoreError `unusable` when the copy is not sound, `stop.reason` when it is told to stop.
 */
export async function copyDatabase(
  source: Database.Database,
  file: string,
  { stop, onProgress }: Copying,
): Promise<void> {
  createPrivate(file);
  // Of one state: without it, SQLite begins again whenever another process writes, and may never end.
  source.exec('begin');
  try {
    source.prepare('select count(*) from sqlite_master').get();
    await source.backup(file, {
      progress: ({ totalPages, remainingPages }) => {
        stop.throwIfAborted();
        onProgress(1 - remainingPages / totalPages);
        return pagesAtATime;
      },
    });
  } finally {
    source.exec('commit');
  }
  requireSound(file);
  stop.throwIfAborted();
}

function requireSound(file: string): void {
  const copy = connect(file, { fileMustExist: true });
  try {
    // A file by itself, which can be read where nothing may be written.
    copy.pragma('journal_mode = delete');
    markClosed(copy);
    const [damage] = damageOf(copy, 'quick_check', 1);
    if (damage) throw new StoreError('unusable', `the database is damaged: ${damage}`);
    if (copy.pragma('application_id', { simple: true }) !== applicationId) {
      throw new StoreError('unusable', "the copy is not a Sandpit's database");
    }
  } finally {
    copy.close();
  }
}

function requireFree(source: string, file: string, force: boolean): void {
  requireReplaceable(file, force, source);
  const companion = companions.map((suffix) => `${file}${suffix}`).find((name) => existsSync(name));
  if (companion) throw new StoreError('conflict', `${file} is in use, as ${companion} shows: choose another name`);
}
