import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { FoundSnapshot, TakenSnapshot } from '../driver.ts';
import { MachineError } from '../error.ts';
import type { Places } from './places.ts';
import { isPassing } from './runtime/failures.ts';
import type { Msb } from './runtime/msb.ts';

/** A snapshot in what `msb snapshot list` prints. */
type Listed = {
  group: string | null;
  name: string | null;
  snapshot_id?: string;
  digest?: string;
  parent_digest?: string | null;
  artifact_path?: string | null;
};

/** The name of each snapshot within its group. */
const member = 's';

const namePattern = /^[A-Za-z0-9-]{1,100}$/;

/** Keeps the files, memory and processes of a running machine. */
export async function takeSnapshot(
  msb: Msb,
  places: Places,
  id: string,
  name: string,
  signal: AbortSignal,
): Promise<TakenSnapshot> {
  if (!namePattern.test(name)) throw new MachineError('failed', `'${name}' can't be the name of a snapshot`);
  const group = places.group(name);
  const ref = `${group}:${member}`;
  const args = ['snapshot', 'create', '-q', '--full', '--sandbox', places.name(id), '--group', group, member];
  const call = { doing: 'take a snapshot', signal };
  try {
    await msb.run(args, call).catch((error) => {
      if (!isPassing(error)) throw error;
      return msb.run(args, call);
    });
    const taken = (await list(msb, places)).find((each) => each.group === group);
    if (taken === undefined) throw new MachineError('failed', 'microsandbox does not list the snapshot that it took');
    return { ref, sizeBytes: taken.artifact_path ? await diskUsed(taken.artifact_path) : 0 };
  } catch (error) {
    await dropSnapshot(msb, ref).catch(() => {
      // The next comparison of records and snapshots finds it.
    });
    throw error;
  }
}

/**
 * Returns the snapshots of this Sandpit. Machines hold none of them; a later snapshot of the same
 * machine does, because it has only what changed since.
 */
export async function listSnapshots(msb: Msb, places: Places): Promise<FoundSnapshot[]> {
  const all = await list(msb, places);
  const parents = new Set(all.map((each) => each.parent_digest));
  return all.map(({ group, name, snapshot_id: id, digest }) => ({
    ref: `${group}:${name}`,
    isUsed: parents.has(id) || parents.has(digest),
  }));
}

/** Removes a snapshot. Rejects with `failed` while a later one builds on it. */
export async function removeSnapshot(msb: Msb, places: Places, ref: string): Promise<void> {
  mustBeOurs(places, ref);
  await dropSnapshot(msb, ref);
}

/** Throws MachineError for the reference of anything but a snapshot of this Sandpit. */
export function mustBeOurs(places: Places, ref: string): void {
  const start = places.group('');
  const [name, ...rest] = ref.slice(start.length).split(':');
  if (!ref.startsWith(start) || name === undefined || !namePattern.test(name) || rest.join(':') !== member)
    throw new MachineError('no_image', `${ref} is no snapshot of this Sandpit`);
}

async function dropSnapshot(msb: Msb, ref: string): Promise<void> {
  // Not -q: it would hide the reason of a failure.
  await msb.run(['snapshot', 'remove', ref], { doing: 'remove the snapshot' }).catch((error: MachineError) => {
    if (!/snapshot not found/i.test(error.message)) throw error;
  });
}

async function list(msb: Msb, places: Places): Promise<Listed[]> {
  const all = await msb.json<Listed[]>(['snapshot', 'list'], { doing: 'list the snapshots' });
  return all.filter(({ group, name }) => group?.startsWith(places.group('')) && name !== null);
}

/** Returns the bytes on the disk of a folder: files of memory have holes. */
async function diskUsed(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((each) => each.isFile());
  const blocks = await Promise.all(files.map(async (each) => (await lstat(join(each.parentPath, each.name))).blocks));
  return blocks.reduce((sum, count) => sum + count, 0) * 512;
}
