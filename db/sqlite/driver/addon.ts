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
 * Returns the option that gives better-sqlite3 its native addon from the executable. Returns
 * nothing in a checkout, where better-sqlite3 finds the addon itself. Throws StoreError `unusable`
 * when no folder can hold the addon while it is loaded.
 */
export function embeddedAddon(): { nativeBinding?: string } {
  if (!isExecutable()) return {};
  addon ??= loadAddon(readEmbedded('better_sqlite3.node'));
  // better-sqlite3 also accepts an object; its types don't say so.
  return { nativeBinding: addon as unknown as string };
}

/** The operating system can load an addon only from a file. */
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
    `SQLite can't be loaded: set TMPDIR to a folder that allows writing and executing files\n${failures.join('\n')}`,
  );
}

type Loader = (bytes: Buffer) => object;

/**
 * A file without a name, which no other process can open and which vanishes with this one (Linux,
 * open(2), O_TMPFILE).
 */
const unnamedFiles: Loader[] = [tmpdir(), '/dev/shm', '/var/tmp'].map((folder) => (bytes) => {
  const descriptor = openSync(folder, 0o20200000 | constants.O_RDWR, 0o700);
  try {
    writeAll(descriptor, bytes);
    return open(`/proc/self/fd/${descriptor}`);
  } finally {
    closeSync(descriptor);
  }
});

/** A private folder of this user, where the addon stays for the next start. */
const privateFolders: Loader[] = [
  () => join(homedir(), '.cache', 'sandpit'),
  // By number, because in a container a user may have no name.
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

/**
 * Throws an Error if another user owns the folder, and so could replace the addon. Makes it
 * private otherwise.
 */
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

/**
 * Writes under another name first, so that a process that starts at the same time never reads half
 * a file.
 */
function writeWhole(file: string, bytes: Buffer): void {
  const part = `${file}.${process.pid}`;
  writeFileSync(part, bytes, { mode: 0o700 });
  renameSync(part, file);
}
