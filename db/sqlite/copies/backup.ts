import { existsSync } from 'node:fs';
import type Database from 'better-sqlite3';
import { StoreError } from '../../errors.ts';
import { connect, damageOf } from '../driver/connection.ts';
import { reasonOf } from '../driver/failures.ts';
import { applicationId } from '../migrations/migrate.ts';
import { markClosed } from '../open-mark.ts';
import { companions, createPrivate, partialName, putInPlace, removeDatabase, requireReplaceable } from './files.ts';

/** The number of pages copied before the event loop runs, for example to handle a signal. */
const pagesAtATime = 1000;

export type Copying = {
  stop: AbortSignal;
  /** called with the progress, from 0 to 1 */
  onProgress: (share: number) => void;
};

/**
 * Copies a database in its current state into `file`, while other processes use it. After a
 * failure no partial file remains. Throws StoreError `conflict` when the file exists and `force`
 * is not set, `unusable` when it can't be written.
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
 * Copies a database, including its write-ahead log, into a new file, and checks the copy.
 * Throws StoreError `unusable` when the copy is damaged, `stop.reason` when it is aborted.
 */
export async function copyDatabase(
  source: Database.Database,
  file: string,
  { stop, onProgress }: Copying,
): Promise<void> {
  createPrivate(file);
  // Copies one snapshot. Otherwise SQLite starts over whenever another process writes, and may
  // never finish.
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
    // Makes it a single file, which can be read even from a read-only folder.
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
