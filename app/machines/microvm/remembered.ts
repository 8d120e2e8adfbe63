import { readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { makeDirectory } from '../agent/program.ts';

/** How long a failure is believed: the machine may only have been busy. */
const failureMilliseconds = 3_600_000;

/** Returns the file in a folder of microVMs that remembers whether they run here. */
export function trialFile(directory: string): string {
  return join(directory, 'trial.json');
}

/** Forgets what trials for a database have found. Leaves what this user may not remove. */
export function forgetTrials(db: string): void {
  if (db === ':memory:') return;
  const parent = dirname(resolve(db));
  try {
    const folders = readdirSync(parent).filter((name) => name.startsWith('microvms-'));
    for (const folder of folders) rmSync(trialFile(join(parent, folder)), { force: true });
  } catch {
    // There is no such folder, or it is another user's. A failure is forgotten within the hour.
  }
}

/** What a trial of msb found; `why` is null if it succeeded. */
type Trial = { key: string; at: number; why: string | null };

/**
 * Returns the finding of a trial of the program. The file remembers it until the host restarts or
 * the program changes, a failure for an hour.
 */
export async function remembered(
  file: string,
  program: string,
  trial: () => Promise<string | null>,
): Promise<string | null> {
  const key = keyOf(program);
  if (key === null) return trial();
  const known = read(file);
  const age = Date.now() - (known?.at ?? 0);
  if (known?.key === key && (known.why === null || (age >= 0 && age < failureMilliseconds))) return known.why;
  const why = await trial();
  write(file, { key, at: Date.now(), why });
  return why;
}

/**
 * Returns a text that changes when the host restarts or the program changes, or null if that can't
 * be known.
 */
function keyOf(program: string): string | null {
  try {
    const path = realpathSync(program);
    const { mtimeMs, size } = statSync(path);
    return [readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), path, mtimeMs, size].join(' ');
  } catch {
    // Only Linux has the boot's id.
    return null;
  }
}

function read(file: string): Trial | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Trial | null;
  } catch {
    return null;
  }
}

function write(file: string, trial: Trial): void {
  try {
    makeDirectory(dirname(file));
    writeFileSync(file, JSON.stringify(trial), { mode: 0o600 });
  } catch {
    // The next start tries again.
  }
}
