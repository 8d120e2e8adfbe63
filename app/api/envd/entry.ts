import type { components } from '../../../spec/types.gen.ts';
import type { Entry } from '../../machines/agent/entry.ts';

/** Other files have none. */
const types = {
  file: { type: 'FILE_TYPE_FILE' },
  directory: { type: 'FILE_TYPE_DIRECTORY' },
  other: {},
} as const;

/** Returns a file of a machine as E2B's `EntryInfo`. */
export function entryInfo(entry: Entry): components['schemas']['EnvdEntry'] {
  const { name, path, type, size, mode, owner, group, modifiedAt, isSymlink, symlinkTarget, metadata } = entry;
  return {
    name,
    ...types[type],
    path,
    size: String(size),
    mode: mode & 0o777,
    permissions: permissionsOf(entry),
    owner,
    group,
    modifiedTime: new Date(modifiedAt).toISOString(),
    isSymlink,
    ...(symlinkTarget !== null && { symlinkTarget }),
    ...(Object.keys(metadata).length > 0 && { metadata }),
  };
}

/** As Go's fs.FileMode prints itself. Nothing is known of the kind of other files. */
function permissionsOf({ type, mode, isSymlink }: Entry): string {
  if (isSymlink) return 'Lrwxrwxrwx';
  const kinds: [boolean, string][] = [
    [type === 'directory', 'd'],
    [(mode & 0o4000) !== 0, 'u'],
    [(mode & 0o2000) !== 0, 'g'],
    [(mode & 0o1000) !== 0, 't'],
    [type === 'other', '?'],
  ];
  const letters = kinds.map(([applies, letter]) => (applies ? letter : '')).join('');
  const bits = [...'rwxrwxrwx'].map((letter, n) => ((mode >> (8 - n)) & 1 ? letter : '-'));
  return `${letters || '-'}${bits.join('')}`;
}
