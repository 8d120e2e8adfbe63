import { readdirSync, readFileSync } from 'node:fs';

/** A process of this computer, from `/proc/<pid>/stat` (proc_pid_stat(5)). */
export type ProcessStat = {
  pid: number;
  parent: number;
  isZombie: boolean;
  /** by a signal, until another one continues it */
  isStopped: boolean;
  /** for something that signals don't interrupt */
  isWaiting: boolean;
  /** clock ticks from the boot to its start: with the pid it names a process for ever */
  startTime: number;
  /** seconds of it and of the children that it has waited for */
  cpuSeconds: number;
};

/** Linux reports times in hundredths of a second on all processors that Sandpit supports. */
const ticksPerSecond = 100;

/** Returns null if there is no such process. */
export function readStat(pid: number): ProcessStat | null {
  const text = readProc(pid, 'stat')?.toString('latin1');
  if (text === undefined) return null;
  // The second field is a name in parentheses, which may hold anything.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  const field = (number: number) => Number(fields[number - 3]);
  return {
    pid,
    parent: field(4),
    isZombie: state === 'Z' || state === 'X',
    isStopped: state === 'T' || state === 't',
    isWaiting: state === 'D',
    startTime: field(22),
    cpuSeconds: (field(14) + field(15) + field(16) + field(17)) / ticksPerSecond,
  };
}

/**
 * Returns the memory of a process in bytes. The quicker figures of Linux are off by some 100 KB.
 */
export function memoryOf(pid: number): number {
  const [, kilobytes] = /^Rss:\s+(\d+) kB$/m.exec(readProc(pid, 'smaps_rollup')?.toString('latin1') ?? '') ?? [];
  return Number(kilobytes ?? 0) * 1_024;
}

/** Returns all processes that have not ended. */
export function readStats(): ProcessStat[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => readStat(Number(pid)) ?? []).filter(({ isZombie }) => !isZombie);
}

/** Returns the processes that descend from a process, without itself. */
export function descendantsOf(pid: number, stats: ProcessStat[]): ProcessStat[] {
  const family = new Set([pid]);
  for (let size = 0; size !== family.size; ) {
    size = family.size;
    for (const each of stats) if (family.has(each.parent)) family.add(each.pid);
  }
  family.delete(pid);
  return stats.filter((each) => family.has(each.pid));
}

/** Returns whether a process was started with a variable in its environment. */
export function hasVariable(pid: number, name: string, value: string): boolean {
  const environment = readProc(pid, 'environ');
  return environment !== null && `\0${environment.toString('latin1')}`.includes(`\0${name}=${value}\0`);
}

function readProc(pid: number, file: string): Buffer | null {
  try {
    return readFileSync(`/proc/${pid}/${file}`);
  } catch {
    return null;
  }
}
