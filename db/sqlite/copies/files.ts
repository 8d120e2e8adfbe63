import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { StoreError } from '../../errors.ts';

/**
 * The suffixes of SQLite's files beside a database. Remove these files when another database takes
 * its name.
 */
export const companions = ['-wal', '-shm', '-journal'];

/** Creates an empty file that only this user may read. Throws if the file exists. */
export function createPrivate(file: string): void {
  closeSync(openSync(file, 'wx', 0o600));
}

/**
 * Throws StoreError `conflict` when the file exists and `force` is not set, `invalid` when it is
 * not an ordinary file or belongs to the database itself.
 */
export function requireReplaceable(file: string, force: boolean | undefined, database: string): void {
  const own = ['', ...companions].map((suffix) => `${database}${suffix}`);
  if (own.some((name) => isSameFile(name, file))) {
    throw new StoreError('invalid', `${file} is the database itself: choose another name`);
  }
  if (!existsSync(file)) return;
  if (statSync(file).isDirectory()) throw new StoreError('invalid', `${file} is a folder: name a file in it`);
  // Renaming a file over a device would remove the device.
  if (!statSync(file).isFile()) throw new StoreError('invalid', `${file} is not an ordinary file: choose another name`);
  if (!force) throw new StoreError('conflict', `${file} exists already: --force replaces it`);
}

/** Returns a unique name in the same folder, for writing a file before it is complete. */
export function partialName(file: string): string {
  return `${file}.partial-${randomBytes(6).toString('hex')}`;
}

/** Renames a complete file to its name and syncs both to disk. */
export function putInPlace(partial: string, file: string): void {
  sync(partial, 'r+');
  renameSync(partial, file);
  // Windows can't open a folder, and syncs names by itself.
  if (process.platform !== 'win32') sync(dirname(file), 'r');
}

/** Removes a partial database and its companions. Ignores failures. */
export function removeDatabase(file: string): void {
  for (const suffix of ['', ...companions]) {
    try {
      rmSync(`${file}${suffix}`, { force: true });
    } catch {
      // The caller reports the failure that came before.
    }
  }
}

/** Returns whether two names refer to the same existing file. */
export function isSameFile(a: string, b: string): boolean {
  if (!existsSync(a) || !existsSync(b)) return false;
  const [x, y] = [statSync(a), statSync(b)];
  return x.dev === y.dev && x.ino === y.ino;
}

function sync(path: string, flags: string): void {
  const descriptor = openSync(path, flags);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
