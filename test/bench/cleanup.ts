import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';

type Undo = () => unknown;

const undos: Undo[] = [];

/** Has `undo` called when the program ends, Ctrl-C included; the latest first. */
export function atEnd(undo: Undo): void {
  undos.push(undo);
}

let cleaning: Promise<void> | undefined;

/** Undoes everything, once: processes end, temporary files go. */
export function cleanUp(): Promise<void> {
  cleaning ??= undoAll();
  return cleaning;
}

/** Whether the program is ending: work that is under way fails then. */
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

/** Returns a new directory that goes at the end. */
export function temporaryDirectory(parent: string): string {
  const dir = mkdtempSync(join(parent, 'sandpit-bench-'));
  atEnd(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Ends the process and waits until it has ended; kills it when it takes longer than ten seconds. */
export async function stopProcess(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await closed;
  clearTimeout(timer);
}

/** Returns the command line that runs `command` on one processor core, or as it is where there is no taskset. */
export function pinned(core: number, command: string[]): string[] {
  return canPin ? ['taskset', '-c', String(core), ...command] : command;
}

/** Whether processes can be bound to a core here. */
export const canPin = succeeds('taskset', ['-c', '1', 'true']);

/** Returns whether the program can be run and ends well. */
export function succeeds(file: string, args: string[]): boolean {
  try {
    execFileSync(file, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
