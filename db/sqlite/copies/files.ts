import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { StoreError } from '../../errors.ts';

/** What SQLite keeps beside a database: whoever puts another database under its name has to see to them. */
export const companions = ['-wal', '-shm', '-journal'];

/** Makes an empty file that only this user may read. Throws where there is one already. */
export function createPrivate(file: string): void {
  closeSync(openSync(file, 'wx', 0o600));
}

/**
 * Throws StoreError `conflict` when there is such a file and it is to be kept, `invalid` when it is no ordinary file
 * or one of the database's own.
 */
export function requireReplaceable(file: string, force: boolean | undefined, database: string): void {
  const own = ['', ...companions].map((suffix) => `${database}${suffix}`);
  if (own.some((name) => isSameFile(name, file))) {
    throw new StoreError('invalid', `${file} is the database itself: choose another name`);
  }
  if (!existsSync(file)) return;
  if (statSync(file).isDirectory()) throw new StoreError('invalid', `${file} is a folder: name a file in it`);
  // Putting a file in place of a device would take the device away.
  if (!statSync(file).isFile()) throw new StoreError('invalid', `${file} is no ordinary file: choose another name`);
  if (!force) throw new StoreError('conflict', `${file} exists already: --force replaces it`);
}

/** Returns a name under which a file is written until it is whole: in the same folder, and nobody else's. */
export function partialName(file: string): string {
  return `${file}.partial-${randomBytes(6).toString('hex')}`;
}

/** Puts a file that is whole under its name, on disk by the time that it returns. */
export function putInPlace(partial: string, file: string): void {
  sync(partial, 'r+');
  renameSync(partial, file);
  // Windows can't open a folder, and writes names through by itself.
  if (process.platform !== 'win32') sync(dirname(file), 'r');
}

/** Removes what is left of a database that came to nothing, as far as that can be done. */
export function removeDatabase(file: string): void {
  for (const suffix of ['', ...companions]) {
    try {
      rmSync(`${file}${suffix}`, { force: true });
    } catch {
      // The failure that made it come to nothing is the one to tell of.
    }
  }
}

/** Says whether two names, one of which may be nothing's, are one file's. */
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
