import { closeSync, existsSync, openSync, realpathSync, rmSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import type Database from 'better-sqlite3';
import { StoreError } from '../errors.ts';
import { connect } from './driver/connection.ts';
import { isBusy, isMoved, unusable } from './driver/failures.ts';

export type ServerLock = { release: () => void };

const waitMilliseconds = 300;
const maxAttempts = 10;

/** Beside the database, under the name that symbolic links lead to: one server at a time has this file locked. */
const suffix = '-server';

/**
 * Makes this process the database's only server until `release`. The lock is SQLite's own on a file of its own, so the
 * operating system drops it with the process, however that ends, and other commands don't meet it.
 * It waits for a moment, since a server that ends may be about to let go of it.
 * Creates the database file where there is none. Throws StoreError `busy`, naming the server that has the lock, or
 * `unusable` when the files can't be written.
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

function acquire(name: string, file: string, wait: number): Database.Database {
  for (let attempt = 1; ; attempt++) {
    const lock = openLock(name, wait);
    try {
      claim(lock, file);
      return lock;
    } catch (error) {
      lock.close();
      // A server that ended has just removed the file that was opened here.
      if (!isMoved(error) || attempt === maxAttempts) throw error;
    }
  }
}

function openLock(name: string, timeout: number): Database.Database {
  if (!existsSync(name)) closeSync(openSync(name, 'a', 0o600));
  return connect(name, { timeout });
}

/** Writes down who has the lock, for others to read, then holds a transaction that has written nothing. */
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
  // Between the two transactions another server may have come.
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
    // It is just being written.
    return '';
  }
}

/** Removed while it is locked: whoever has opened it meanwhile finds out by writing to it. */
function release(lock: Database.Database, name: string): void {
  try {
    rmSync(name, { force: true });
  } catch {
    // Windows removes no open file; one that is left locks nothing.
  } finally {
    lock.close();
  }
}

/**
 * Throws StoreError `busy` when another process has the database open under another name, a hard link or a mount of the
 * file alone: SQLite would keep a write-ahead log beside each name, and the two would overwrite one another.
 */
export function refuseOtherName(path: string): void {
  if (statSync(path).size === 0) return;
  const end = performance.now() + waitMilliseconds;
  // Whoever has it open under this name keeps this file beside it.
  while (!existsSync(`${path}-shm`)) {
    if (mayBeLocked(path)) return;
    if (performance.now() > end) {
      const names = 'a hard link, or a mount of the file alone';
      throw new StoreError(
        'busy',
        `${path} is in use under another name (${names}): use that name, or stop what uses it`,
      );
    }
    // Another command may be doing the same.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
  }
}

/** Says whether nobody has it open. What is no database is for others to refuse. */
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
