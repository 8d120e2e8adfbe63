import { readdirSync, readFileSync } from 'node:fs';

/** Collects the readings of a bar, and says whether it was met. */
export type MachineRow = { engine: string; what: string; bar: string; measured: string; met: boolean };

export type Quantiles = { p50: number; p95: number; count: number };

/** Returns the percentiles of times in milliseconds. */
export function quantiles(times: number[]): Quantiles {
  const sorted = Float64Array.from(times).sort();
  const at = (quantile: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? 0;
  return { p50: at(0.5), p95: at(0.95), count: sorted.length };
}

/** Runs `task` this often, one after another. Returns the time of each in milliseconds. */
export async function timed(count: number, task: (n: number) => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < count; n++) {
    const start = performance.now();
    await task(n);
    times.push(performance.now() - start);
  }
  return times;
}

/** Returns how much memory a process has, in bytes. */
export function memoryOf(pid: number): number {
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

/** Runs a task. Returns its result and by how many bytes a process grew meanwhile, at most. */
export async function growthDuring<T>(pid: number, task: () => Promise<T>): Promise<{ result: T; growth: number }> {
  const before = memoryOf(pid);
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, memoryOf(pid));
  }, 5);
  try {
    const result = await task();
    return { result, growth: peak - before };
  } finally {
    clearInterval(timer);
  }
}

/** Returns how many files, sockets and pipes a process has open. */
export function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Returns the ids of this machine's processes. */
export function processes(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Returns the ids of the processes whose command line contains the text. */
export function processesWith(text: string): number[] {
  return processes().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false;
    }
  });
}

/** Returns the memory that only these processes use, in bytes. */
export function privateMemoryOf(pids: number[]): number {
  let bytes = 0;
  for (const pid of pids) {
    try {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
      for (const [, kilobytes] of text.matchAll(/^Private_\w+:\s+(\d+)/gm)) bytes += Number(kilobytes) * 1024;
    } catch {
      // The process has ended, or is one of the kernel's.
    }
  }
  return bytes;
}

/** Resolves once `ask` returns true; returns the milliseconds that took. Throws after `seconds`. */
export async function until(ask: () => boolean | Promise<boolean>, seconds: number): Promise<number> {
  const start = performance.now();
  while (!(await ask())) {
    if (performance.now() - start > seconds * 1000) throw new Error(`not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return performance.now() - start;
}

export function milliseconds(value: number): string {
  return value < 10
    ? `${value.toFixed(1)} ms`
    : value < 1000
      ? `${value.toFixed(0)} ms`
      : `${(value / 1000).toFixed(2)} s`;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(Math.abs(bytes) < 10 * 2 ** 20 ? 1 : 0)} MB`;
}
