import { protocolError } from './frames.ts';
import type { ValueReader } from './values.ts';

/** A file of a machine, or a directory or another thing in it. */
export type Entry = {
  name: string;
  path: string;
  type: 'file' | 'directory' | 'other';
  size: number;
  /** permission bits, with set-user-id, set-group-id and sticky */
  mode: number;
  isSymlink: boolean;
  owner: string;
  group: string;
  /** milliseconds since 1970, in the years 1 to 9999 */
  modifiedAt: number;
  /** the resolved path of a symbolic link; null: it is none */
  symlinkTarget: string | null;
  metadata: Record<string, string>;
};

const types = ['file', 'directory', 'other'] as const;
/** The times that a date in JSON can hold (RFC 3339), in seconds. Files can have any. */
const firstSecond = -62_135_596_800;
const lastSecond = 253_402_300_799;

/** Reads an entry of `PROTOCOL.md`. Throws MachineError if it is none. */
export function readEntry(values: ValueReader): Entry {
  const name = values.string();
  const path = values.string();
  const number = values.u8();
  const type = types[number - 1];
  if (type === undefined) throw protocolError(`it sent an entry of the unknown type ${number}`);
  const size = values.u64();
  const mode = values.u32() & 0o7777;
  const isSymlink = values.u8() !== 0;
  const owner = values.string();
  const group = values.string();
  const modifiedAt = readTime(values);
  const target = values.string();
  const symlinkTarget = isSymlink ? target : null;
  return { name, path, type, size, mode, isSymlink, owner, group, modifiedAt, symlinkTarget, metadata: values.pairs() };
}

function readTime(values: ValueReader): number {
  const seconds = Math.min(Math.max(values.i64(), firstSecond), lastSecond);
  const nanoseconds = values.u32();
  if (nanoseconds >= 1_000_000_000) throw protocolError(`it sent a time with ${nanoseconds} nanoseconds`);
  return seconds * 1_000 + Math.floor(nanoseconds / 1_000_000);
}
