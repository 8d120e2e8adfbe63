import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createProcessDriver } from '../../../app/machines/process/driver.ts';

const prefix = 'machines-';

/**
 * Ends the machines of the process driver that belong to databases in a directory, and removes
 * their snapshots. They outlive their servers.
 */
export async function removeMachines(directory: string): Promise<void> {
  const names = existsSync(directory) ? readdirSync(directory) : [];
  for (const name of names.filter((each) => each.startsWith(prefix))) {
    const instance = name.slice(prefix.length);
    const driver = createProcessDriver({ instance, db: join(directory, 'sandpit.db') });
    for (const { id } of await driver.list()) await driver.remove(id);
    for (const { ref } of await driver.snapshots()) await driver.removeSnapshot(ref);
  }
}
