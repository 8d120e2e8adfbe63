import type { Attributes, FileEntry } from 'ssh2';
import type { Entry } from '../../machines/agent/entry.ts';

/** The kinds of a file in its mode (inode(7)). */
const kinds = { file: 0o100_000, directory: 0o040_000, other: 0o010_000 };
const link = 0o120_000;
const letters = { file: '-', directory: 'd', other: 'p' };

/** Returns the attributes of a file in SFTP: with `itself` those of a symbolic link. */
export function attributesOf(entry: Entry, which: 'itself' | 'followed'): Attributes {
  const { type, mode, size, modifiedAt, isSymlink } = entry;
  const seconds = Math.min(Math.max(0, Math.floor(modifiedAt / 1000)), 2 ** 32 - 1);
  const kind = which === 'itself' && isSymlink ? link : kinds[type];
  // The numbers of the owner and the group are not known: without them no client shows wrong ones.
  return { mode: kind | mode, size, atime: seconds, mtime: seconds } as Attributes;
}

/** Returns an entry of a directory with its line, as `ls -l` shows it. */
export function listed(entry: Entry): FileEntry {
  const { name, type, mode, size, owner, group, modifiedAt, isSymlink } = entry;
  const bits = [...'rwxrwxrwx'].map((letter, n) => (mode & (0o400 >> n) ? letter : '-')).join('');
  const date = new Date(modifiedAt).toISOString().slice(0, 16).replace('T', ' ');
  const columns = [`${isSymlink ? 'l' : letters[type]}${bits}`, owner.padEnd(8), group.padEnd(8)];
  const longname = `${columns.join(' ')} ${String(size).padStart(10)} ${date} ${name}`;
  return { filename: name, longname, attrs: attributesOf(entry, 'itself') };
}
