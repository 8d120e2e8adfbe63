import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seenStatuses, throwBreaches, untestedStatuses } from './contract.ts';
import { executable, killRunning } from './processes/process.ts';
import { closeApps, removeDirectories } from './server.ts';

/** Whether this is `npm test`, which names all files; a partial run need not see every status. */
const isWholeSuite = process.argv.slice(2).join(' ') === 'test/**/*.test.ts';

/**
 * Test files run in several processes. Each process leaves the statuses that it has seen in this
 * folder, because only all of them together show that every declared status is tested.
 */
const folderVariable = 'TEST_RUN_FOLDER';

let removeBundle = () => {};

/** Runs once, in the main process, before the first test. */
export async function mochaGlobalSetup(): Promise<void> {
  process.env[folderVariable] = mkdtempSync(join(tmpdir(), 'sandpit-run-'));
  if (!isWholeSuite || executable !== undefined) return;
  removeBundle = await (await import('./processes/bundle.ts')).bundleForTests();
}

/**
 * Runs once, in the main process, after the last test. Throws an Error if statuses are untested.
 */
export function mochaGlobalTeardown(): void {
  removeBundle();
  const folder = process.env[folderVariable] ?? '';
  const seen = readdirSync(folder).flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'));
  rmSync(folder, { recursive: true });
  const untested = isWholeSuite ? untestedStatuses(new Set(seen)) : [];
  if (untested.length > 0) throw new Error(`no test saw these declared statuses:\n${untested.join('\n')}`);
}

/** Run in the process of the tests: `afterAll` after each file when files run in parallel. */
export const mochaHooks = {
  async afterEach(): Promise<void> {
    await closeApps();
    throwBreaches();
  },
  async afterAll(): Promise<void> {
    killRunning();
    await removeDirectories();
    const folder = process.env[folderVariable];
    if (folder !== undefined) writeFileSync(join(folder, `${process.pid}.txt`), seenStatuses().join('\n'));
  },
};
