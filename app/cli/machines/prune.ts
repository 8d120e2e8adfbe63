import { deleteMachine, findMachineRow, type MachineRow } from '../../../db/machines/rows.ts';
import { forgetUnnamed, namedRefs } from '../../../db/machines/snapshots.ts';
import { withoutServer } from '../../../db/sqlite/server-lock.ts';
import { inTransaction, type Store } from '../../../db/store.ts';
import type { Driver } from '../../machines/driver.ts';
import { answer, type Survey } from './survey.ts';

/** Something that a driver holds and nothing needs. `error` says why it could not be removed. */
export type Pruned = { kind: 'machine' | 'snapshot'; id: string; driver: string; error: string | null };

type Settings = { db: Store['db']; now: () => number; isDryRun: boolean };

/** Removes the machines that no sandbox needs. A server may start and remove machines meanwhile. */
export async function pruneMachines({ machines, drivers }: Survey, { db, now, isDryRun }: Settings): Promise<Pruned[]> {
  const pruned: Pruned[] = [];
  for (const { id, driver: name, record } of machines) {
    const driver = drivers.find((each) => each.name === name);
    if (!driver || isNeeded(record)) continue;
    // Again, because removing the others took time.
    if (isNeeded(await findMachineRow(db, now(), id))) continue;
    const remove = async () => {
      await driver.remove(id);
      await deleteMachine(db, id);
    };
    pruned.push({ kind: 'machine', id, driver: name, error: isDryRun ? null : await reasonAgainst(remove) });
  }
  return pruned;
}

/** A machine that is not ready is being started. */
function isNeeded(row: Pick<MachineRow, 'isReady' | 'status'> | null): boolean {
  return row !== null && (row.isReady === 0 || row.status === 'active' || row.status === 'paused');
}

/**
 * Removes the snapshots that the database does not name and no machine uses. Returns null if a
 * server runs: it records a snapshot only after it was taken, and removes the others itself.
 */
export async function pruneSnapshots(file: string, drivers: Driver[], settings: Settings): Promise<Pruned[] | null> {
  const { db, isDryRun } = settings;
  // Only for the list: what was taken before a server starts is none that it will record.
  const found = await withoutServer(file, async () => {
    if (!isDryRun) await inTransaction(db, forgetUnnamed);
    const named = await namedRefs(db);
    return Promise.all(drivers.map(async (driver) => ({ driver, refs: await unusedRefs(driver, named) })));
  });
  if (found === null) return null;
  const pruned: Pruned[] = [];
  for (const { driver, refs } of found)
    for (const ref of refs) {
      const error = isDryRun ? null : await reasonAgainst(() => driver.removeSnapshot(ref));
      pruned.push({ kind: 'snapshot', id: ref, driver: driver.name, error });
    }
  return pruned;
}

async function unusedRefs(driver: Driver, named: Set<string | null>): Promise<string[]> {
  if (!driver.features.has('snapshot')) return [];
  const found = await answer(driver.snapshots());
  return found.filter(({ ref, isUsed }) => !isUsed && !named.has(ref)).map(({ ref }) => ref);
}

async function reasonAgainst(work: () => Promise<void>): Promise<string | null> {
  try {
    await work();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
