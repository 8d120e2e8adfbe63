import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Returns the folder in which a checkout caches results for the next start. It is inside
 * node_modules, which belongs to the user who installed the program, and only that user may write
 * there.
 */
export function cacheFolder(): string {
  return fileURLToPath(new URL('../node_modules/.cache/sandpit', import.meta.url));
}

/**
 * Returns the JSON value that `make` returns for a text, from the cache if an earlier start
 * computed it.
 */
export function remembered<T>(text: string, make: (text: string) => T): T {
  const file = join(cacheFolder(), `${createHash('sha256').update(text).digest('hex')}.json`);
  const earlier = readJson<T>(file);
  if (earlier !== null) return earlier;
  const value = make(text);
  keep(file, JSON.stringify(value));
  return value;
}

function readJson<T>(file: string): T | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return null;
  }
}

/** Ignores failures: without write permission, or on a full disk, nothing is cached. */
function keep(file: string, json: string): void {
  const partial = `${file}.${process.pid}`;
  try {
    mkdirSync(cacheFolder(), { recursive: true });
    writeFileSync(partial, json);
    renameSync(partial, file);
  } catch {
    rmSync(partial, { force: true });
  }
}
