import type { MachineOrigin } from '../../../db/machines/rows.ts';
import type { MachineSnapshot } from '../../../db/machines/snapshots.ts';
import { randomDigits } from '../../../db/random.ts';
import { inTransaction, type Store, type Trx } from '../../../db/store.ts';
import type { Driver, TakenSnapshot } from '../driver.ts';
import { timed, type VerbMetrics } from '../lifecycle/timed.ts';
import { untilAborted } from '../until-aborted.ts';
import type { Collector } from './collector.ts';

type Parts = { driver: Driver; collector: Collector; metrics: VerbMetrics | null };

/** Makes the driver take a snapshot of a machine. What it takes too late is removed. */
export async function askForSnapshot(
  { driver, collector, metrics }: Parts,
  id: string,
  within: AbortSignal,
): Promise<TakenSnapshot> {
  const asked = timed(metrics, 'snapshot', () => driver.snapshot(id, `s${randomDigits()}`, within));
  return untilAborted(asked, within).catch((error) => {
    asked.then(
      ({ ref }) => collector.discard(ref),
      () => {},
    );
    throw error;
  });
}

/**
 * Records what a driver has taken of a machine, in one transaction with what names it. If that
 * fails, what was taken is removed.
 */
export async function recordTaken<T>(
  { store, driver, collector }: Pick<Parts, 'driver' | 'collector'> & { store: Store },
  taken: TakenSnapshot,
  { allowsSudo, runtime }: Pick<MachineOrigin, 'allowsSudo' | 'runtime'>,
  record: (trx: Trx, held: MachineSnapshot) => Promise<T>,
): Promise<T> {
  const held = { ...taken, driver: driver.name, allowsSudo, runtime, hasMemory: driver.keepsMemory };
  try {
    return await inTransaction(store.db, (trx) => record(trx, held));
  } catch (error) {
    collector.discard(taken.ref);
    throw error;
  }
}
