import type { Logger } from 'pino';
import { findOrigin } from '../../../db/machines/rows.ts';
import { addMachineSnapshot } from '../../../db/machines/snapshots.ts';
import { findUnkept, recordLast } from '../../../db/snapshots/last.ts';
import { inTransaction, type Store } from '../../../db/store.ts';
import type { Driver } from '../driver.ts';
import { MachineError } from '../error.ts';
import type { VerbMetrics } from '../lifecycle/timed.ts';
import { askForSnapshot } from './ask.ts';
import type { Collector } from './collector.ts';

/** How long the last snapshot of a machine may take. */
const takeMilliseconds = 120_000;

type Dependencies = {
  store: Store;
  now: () => number;
  log: Logger;
  driver: Driver;
  collector: Collector;
  metrics: VerbMetrics | null;
};

/**
 * Takes the snapshot that a sandbox which has ended was to leave, before its machine is removed.
 * Rejects if the engine is away, so that it is tried again. A machine of which none can be taken is
 * logged, and goes without.
 */
export async function takeLast(dependencies: Dependencies, id: string): Promise<void> {
  const { store, now, log, driver, collector } = dependencies;
  const [wanted, origin] = [await findUnkept(store.db, now(), id), await findOrigin(store.db, id)];
  if (!wanted || !origin) return;
  try {
    await collector.sparing(async () => {
      const { ref, sizeBytes } = await askForSnapshot(dependencies, id, AbortSignal.timeout(takeMilliseconds));
      const { allowsSudo, runtime } = origin;
      const held = { ref, sizeBytes, driver: driver.name, allowsSudo, runtime, hasMemory: driver.keepsMemory };
      const recorded = await inTransaction(store.db, async (trx) => {
        await addMachineSnapshot(trx, now(), held);
        return recordLast(trx, now(), id, ref);
      }).catch((error) => {
        collector.discard(ref);
        throw error;
      });
      if (!recorded) collector.discard(ref);
    });
    // It may have replaced another.
    collector.wake();
  } catch (error) {
    if (error instanceof MachineError && error.code === 'unavailable') throw error;
    log.warn({ err: error, sandbox: id }, 'the last snapshot of a sandbox could not be taken');
  }
}
