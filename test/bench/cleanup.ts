import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';

type Undo = () => unknown;

const undos: Undo[] = [];

/**
 * Registers a function to call when the program ends, also by Ctrl-C. The latest is called first.
 */
export function atEnd(undo: Undo): void {
  undos.push(undo);
}

let cleaning: Promise<void> | undefined;

/** Calls every registered function once: stops processes and deletes temporary files. */
export function cleanUp(): Promise<void> {
  cleaning ??= undoAll();
  return cleaning;
}

/** Returns whether the program is ending, so that failures of work under way can be ignored. */
export function isEnding(): boolean {
  return cleaning !== undefined;
}

async function undoAll(): Promise<void> {
  for (let undo = undos.pop(); undo; undo = undos.pop()) await Promise.resolve(undo()).catch(() => {});
}

/** Cleans up and ends the program on SIGINT and SIGTERM. */
export function cleanUpOnSignals(): void {
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.once(signal, () => void cleanUp().finally(() => process.exit(code)));
  }
}

/** Returns a new directory, which is deleted when the program ends. */
export function temporaryDirectory(parent: string): string {
  const dir = mkdtempSync(join(parent, 'sandpit-bench-'));
  atEnd(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Stops a process and waits for its end. Kills it after ten seconds. */
export async function stopProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await closed;
  clearTimeout(timer);
}

/**
 * Returns the command line that runs `command` on one core, or `command` itself without taskset.
 */
export function pinned(core: number, command: string[]): string[] {
  return canPin ? ['taskset', '-c', String(core), ...command] : command;
}

/** Whether processes can be pinned to a core on this machine. */
export const canPin = succeeds('taskset', ['-c', '1', 'true']);

/** Returns whether the program exists and exits with 0. */
export function succeeds(file: string, args: string[]): boolean {
  try {
    execFileSync(file, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
