import { closeSync, existsSync, openSync, realpathSync, rmSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import type Database from 'better-sqlite3';
import { StoreError } from '../errors.ts';
import { connect } from './driver/connection.ts';
import { isBusy, isMoved, unusable } from './driver/failures.ts';

export type ServerLock = { release: () => void };

const waitMilliseconds = 300;
const maxAttempts = 10;

/**
 * The suffix of the lock file, beside the file that symbolic links lead to. One server at a time
 * locks it.
 */
const suffix = '-server';

/**
 * Makes this process the database's only server until `release`. It takes a SQLite lock on a
 * separate file, so the operating system releases it however the process ends, and other commands
 * are not affected. It waits briefly, because a stopping server may be about to release the lock.
 * Creates the database file if it is missing. Throws StoreError `busy`, naming the server that has
 * the lock, or `unusable` when the files can't be written.
 */
export function lockForServer(file: string, wait = waitMilliseconds): ServerLock {
  try {
    if (!existsSync(file)) closeSync(openSync(file, 'a', 0o600));
    const path = realpathSync(file);
    refuseOtherName(path);
    const name = `${path}${suffix}`;
    const lock = acquire(name, file, wait);
    return { release: () => release(lock, name) };
  } catch (error) {
    throw error instanceof StoreError ? error : unusable(file, error);
  }
}

/**
 * Does work while no server may have the database. Returns null at once when one has it. A server
 * that starts meanwhile is refused, so it must be short.
 */
export async function withoutServer<T>(file: string, work: () => Promise<T>): Promise<T | null> {
  let lock: ServerLock;
  try {
    lock = lockForServer(file, 0);
  } catch (error) {
    if (error instanceof StoreError && error.code === 'busy') return null;
    throw error;
  }
  try {
    return await work();
  } finally {
    lock.release();
  }
}

function acquire(name: string, file: string, wait: number): Database.Database {
  for (let attempt = 1; ; attempt++) {
    const lock = openLock(name, wait);
    try {
      claim(lock, file);
      return lock;
    } catch (error) {
      lock.close();
      // A stopping server removed the file after this process opened it.
      if (!isMoved(error) || attempt === maxAttempts) throw error;
    }
  }
}

function openLock(name: string, timeout: number): Database.Database {
  if (!existsSync(name)) closeSync(openSync(name, 'a', 0o600));
  return connect(name, { timeout });
}

/**
 * Stores this process as the lock's holder, for others to read, then holds a transaction without
 * changes.
 */
function claim(lock: Database.Database, file: string): void {
  try {
    lock.exec('begin immediate');
    lock.exec('create table if not exists server (pid integer, host text)');
    lock.exec('delete from server');
    lock.prepare('insert into server values (?, ?)').run(process.pid, hostname());
    lock.exec('commit');
    lock.exec('begin immediate');
  } catch (error) {
    throw isBusy(error) ? inUse(file, lock) : error;
  }
  // Another server may have taken the lock between the two transactions.
  const { pid, host } = holderIn(lock) ?? {};
  if (pid !== process.pid || host !== hostname()) throw inUse(file, lock);
}

type Holder = { pid: number; host: string };

function holderIn(lock: Database.Database): Holder | undefined {
  return lock.prepare<[], Holder>('select pid, host from server').get();
}

function inUse(file: string, lock: Database.Database): StoreError {
  return new StoreError(
    'busy',
    `${file} is in use by another server${whoHas(lock)}: stop it first, or name another --db`,
  );
}

function whoHas(lock: Database.Database): string {
  try {
    const holder = holderIn(lock);
    if (!holder) return '';
    return ` (process ${holder.pid}${holder.host === hostname() ? '' : ` on ${holder.host}`})`;
  } catch {
    // The holder is just being stored.
    return '';
  }
}

/**
 * Removes the file while it is locked. A process that opened it in between notices when it writes.
 */
function release(lock: Database.Database, name: string): void {
  try {
    rmSync(name, { force: true });
  } catch {
    // Windows can't remove an open file. The file that remains locks nothing.
  } finally {
    lock.close();
  }
}

/**
 * Throws StoreError `busy` when another process has the database open under another name, that is,
 * a hard link or a mount of only this file. SQLite would keep a write-ahead log beside each name,
 * and the two would overwrite each other's changes.
 */
export function refuseOtherName(path: string): void {
  if (statSync(path).size === 0) return;
  const end = performance.now() + waitMilliseconds;
  // A process that has it open under this name keeps this file beside it.
  while (!existsSync(`${path}-shm`)) {
    if (mayBeLocked(path)) return;
    if (performance.now() > end) {
      const names = 'a hard link, or a mount of the file alone';
      throw new StoreError(
        'busy',
        `${path} is in use under another name (${names}): use that name, or stop what uses it`,
      );
    }
    // Another command may be doing the same check.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}

/**
 * Returns whether no process has it open; also true if it is not a database, which opening it
 * reports.
 */
function mayBeLocked(path: string): boolean {
  const sqlite = connect(path, { fileMustExist: true, timeout: 0 });
  try {
    sqlite.pragma('locking_mode = exclusive');
    sqlite.exec('begin exclusive; rollback');
    return true;
  } catch (error) {
    return !isBusy(error);
  } finally {
    sqlite.close();
  }
}
