import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MachineError } from '../error.ts';
import { type ProcessStat, readStat } from './proc.ts';

/** Where a machine is: in a folder that holds all its files. */
export type Place = {
  folder: string;
  home: string;
  socket: string;
  /** the file that says which process is the agent */
  record: string;
  /** the file that exists if the machine was told to stop */
  halted: string;
};

const idPattern = /^[\w-]{1,64}$/;

/** The longest path of a Unix socket (unix(7)). */
const maxSocketPath = 107;

/** Returns where a machine is. Throws MachineError for an id that can't be in a path. */
export function placeOf(directory: string, id: string): Place {
  if (!idPattern.test(id)) throw new MachineError('failed', `'${id}' can't be the id of a machine.`);
  const folder = join(directory, id);
  const socket = join(folder, 's');
  if (Buffer.byteLength(socket) > maxSocketPath)
    throw new MachineError('failed', `${directory} is too long a path for the sockets of machines.`);
  return {
    folder,
    home: join(folder, 'home'),
    socket,
    record: join(folder, 'agent.json'),
    halted: join(folder, 'halted'),
  };
}

/**
 * Makes a machine's folder, with an empty home or a given one, or throws MachineError if it exists.
 */
export function makeFolder({ folder, home }: Place, given?: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new MachineError('failed', `There is a machine in ${folder} already.`);
  }
  if (given === undefined) mkdirSync(home);
  else renameSync(given, home);
}

/** Returns the ids of all machines whose folders exist. */
export function machineIds(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory() && idPattern.test(entry.name)).map(({ name }) => name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Notes which process is the agent, for a later server. */
export function recordAgent({ record }: Place, pid: number): void {
  const startTime = readStat(pid)?.startTime ?? 0;
  writeFileSync(record, JSON.stringify({ pid, startTime }));
}

/** Returns the agent's process, or null if it has ended. */
export function findAgent({ record }: Place): ProcessStat | null {
  let noted: { pid: number; startTime: number };
  try {
    noted = JSON.parse(readFileSync(record, 'utf8'));
  } catch {
    return null;
  }
  const stat = readStat(noted.pid);
  return stat !== null && !stat.isZombie && stat.startTime === noted.startTime ? stat : null;
}
