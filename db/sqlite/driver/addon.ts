import { hash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { homedir, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { isExecutable, readEmbedded } from '../../../spec/assets.ts';
import { StoreError } from '../../errors.ts';

let addon: object | undefined;

/**
 * Returns the option by which better-sqlite3 takes its native addon from the executable; nothing in a checkout, where it
 * finds the addon itself. Throws StoreError `unusable` when there is no place to load it from.
 */
export function embeddedAddon(): { nativeBinding?: string } {
  if (!isExecutable()) return {};
  addon ??= loadAddon(readEmbedded('better_sqlite3.node'));
  // It takes an object as well; its types don't know.
  return { nativeBinding: addon as unknown as string };
}

/** The system loads an addon from a file and nothing else. */
function loadAddon(bytes: Buffer): object {
  const failures: string[] = [];
  for (const load of [...(process.platform === 'linux' ? unnamedFiles : []), ...privateFolders]) {
    try {
      return load(bytes);
    } catch (error) {
      failures.push((error as Error).message);
    }
  }
  throw new StoreError(
    'unusable',
    `there is no place to load SQLite from: give TMPDIR a folder that may be written and executed from\n${failures.join('\n')}`,
  );
}

type Loader = (bytes: Buffer) => object;

/** A file without a name, which is gone with the process and which no other can touch (Linux, open(2), O_TMPFILE). */
const unnamedFiles: Loader[] = [tmpdir(), '/dev/shm', '/var/tmp'].map((folder) => (bytes) => {
  const descriptor = openSync(folder, 0o20200000 | constants.O_RDWR, 0o700);
  try {
    writeAll(descriptor, bytes);
    return open(`/proc/self/fd/${descriptor}`);
  } finally {
    closeSync(descriptor);
  }
});

/** A folder of this user's alone, where the addon stays for the next start. */
const privateFolders: Loader[] = [
  () => join(homedir(), '.cache', 'sandpit'),
  // By number: in a container a user may have no name.
  () => join(tmpdir(), `sandpit-${process.getuid?.() ?? userInfo().username}`),
].map((folderOf) => (bytes) => {
  const folder = folderOf();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  requirePrivate(folder);
  const file = join(folder, `better_sqlite3-${hash('sha256', bytes, 'hex').slice(0, 16)}.node`);
  if (!holds(file, bytes)) writeWhole(file, bytes);
  return open(file);
});

function open(file: string): object {
  const loaded = { exports: {} };
  process.dlopen(loaded, file);
  return loaded.exports;
}

function writeAll(descriptor: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
}

/** What another user may write they could replace. */
function requirePrivate(folder: string): void {
  if (process.platform === 'win32') return;
  const { uid, mode } = lstatSync(folder);
  if (uid !== process.getuid?.()) throw new Error(`${folder} is another user's`);
  if ((mode & 0o077) !== 0) chmodSync(folder, 0o700);
}

function holds(file: string, bytes: Buffer): boolean {
  try {
    return readFileSync(file).equals(bytes);
  } catch {
    return false;
  }
}

/** Under a name of its own first: another that starts at the same time sees all of it or nothing. */
function writeWhole(file: string, bytes: Buffer): void {
  const part = `${file}.${process.pid}`;
  writeFileSync(part, bytes, { mode: 0o700 });
  renameSync(part, file);
}
