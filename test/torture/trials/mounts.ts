import { execFileSync } from 'node:child_process';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { atEnd, succeeds, temporaryDirectory } from '../../bench/cleanup.ts';

/** A file system of our own. */
export type Mount = { dir: string; unmount: () => void };

/** Returns an in-memory file system of this size in MiB, or null if this user cannot mount. */
export function mountMemory(mebibytes: number, parent: string): Mount | null {
  return mounted(parent, (dir) => ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', dir]);
}

/**
 * Returns an ext4 file system in a file, which is created if missing, or null if this user cannot
 * mount.
 */
export function mountImage(image: string, parent: string): Mount | null {
  if (!succeeds('test', ['-e', image])) {
    if (!succeeds('truncate', ['-s', '64M', image]) || !succeeds('mkfs.ext4', ['-q', image])) return null;
  }
  return mounted(parent, (dir) => ['-o', 'loop', image, dir]);
}

function mounted(parent: string, argsFor: (dir: string) => string[]): Mount | null {
  const dir = temporaryDirectory(parent);
  if (!succeeds('mount', argsFor(dir))) return null;
  let isMounted = true;
  const unmount = () => {
    if (isMounted) run('umount', dir);
    isMounted = false;
  };
  atEnd(unmount);
  return { dir, unmount };
}

/** Fills the file system to its last byte. Returns a function that frees the space. */
export function fillUp({ dir }: Mount): () => void {
  const ballast = join(dir, 'ballast');
  const file = openSync(ballast, 'w');
  try {
    for (const size of [65_536, 4096, 1]) writeUntilFull(file, Buffer.alloc(size));
  } finally {
    closeSync(file);
  }
  return () => rmSync(ballast);
}

function writeUntilFull(file: number, bytes: Buffer): void {
  try {
    for (;;) writeSync(file, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

/** Makes a file system read-only. Nothing on it may be open for writing. */
export function remountReadOnly({ dir }: Mount): void {
  run('mount', '-o', 'remount,ro', dir);
}

/**
 * Makes the database and its log immutable, even for processes that have them open (ext4 only).
 * Returns a function that reverts it.
 */
export function lock(file: string): () => void {
  // Not the -shm file, which SQLite maps: on ext4, a write to an immutable mapped file kills the
  // process (SIGBUS). A read-only file system does not do that; see `breakDown`.
  const files = [file, `${file}-wal`];
  run('chattr', '+i', ...files);
  return () => run('chattr', '-i', ...files);
}

/** Makes an ext4 file system fail as with a broken disk: it is read-only until remounted. */
export function breakDown({ dir }: Mount): void {
  run('mount', '-o', 'remount,abort', dir);
}

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: 'pipe' });
}
