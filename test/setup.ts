import { throwBreaches, untestedStatuses } from './contract.ts';
import { closeApps, removeDirectories } from './helpers.ts';
import { killRunning } from './process.ts';

/** With arguments, mocha runs some of the tests only: then a status may well go untested. */
const isWholeSuite = process.argv.length === 2;

export const mochaHooks = {
  async afterEach(): Promise<void> {
    await closeApps();
    throwBreaches();
  },
  afterAll(): void {
    killRunning();
    removeDirectories();
    const untested = isWholeSuite ? untestedStatuses() : [];
    if (untested.length > 0) throw new Error(`no test saw these declared statuses:\n${untested.join('\n')}`);
  },
};
