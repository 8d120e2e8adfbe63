import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/** What SQLite keeps beside a database: whoever puts another database under its name has to see to them. */
export const companions = ['-wal', '-shm', '-journal'];

/** Makes an empty file that only this user may read. Throws where there is one already. */
export function createPrivate(file: string): void {
  closeSync(openSync(file, 'wx', 0o600));
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
