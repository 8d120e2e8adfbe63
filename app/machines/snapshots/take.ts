import type { Actor } from '../../../db/events/record.ts';
import { findOrigin } from '../../../db/machines/rows.ts';
import { addMachineSnapshot } from '../../../db/machines/snapshots.ts';
import type { Snapshot } from '../../../db/snapshots/rows.ts';
import { type SnapshotRequest, snapshotSandbox } from '../../../db/snapshots/snapshots.ts';
import type { Store } from '../../../db/store.ts';
import type { Agent } from '../agent/agent.ts';
import { syncFiles } from '../agent/files.ts';
import type { Driver } from '../driver.ts';
import { MachineError } from '../error.ts';
import { rehearse } from '../launch/rehearse.ts';
import type { VerbMetrics } from '../lifecycle/timed.ts';
import type { Verbs } from '../lifecycle/verbs.ts';
import { untilAborted } from '../until-aborted.ts';
import { askForSnapshot, recordTaken } from './ask.ts';
import type { Collector } from './collector.ts';
import { failureOf } from './failure.ts';

/** How long a snapshot may take, with the wait for other changes of the machine. */
const takeMilliseconds = 120_000;

/** A snapshot to take. */
export type SnapshotOrder = {
  by: Actor;
  sandboxId: string;
  wanted: SnapshotRequest;
  /** Aborted when nobody waits for the snapshot any more. */
  signal: AbortSignal;
};

type Dependencies = {
  store: Store;
  now: () => number;
  driver: Driver;
  agentOf: (id: string) => Promise<Agent>;
  verbs: Verbs;
  collector: Collector;
  /** Null: nobody counts. */
  metrics: VerbMetrics | null;
};

/** Takes snapshots of sandboxes with machines: the driver's first, then the record. */
export class Snapshots {
  readonly #dependencies: Dependencies;
  readonly #takeMilliseconds: number;

  constructor(dependencies: Dependencies, milliseconds = takeMilliseconds) {
    this.#dependencies = dependencies;
    this.#takeMilliseconds = milliseconds;
  }

  /**
   * Takes a snapshot and returns it; on failure, nothing of it stays. Throws MachineError and what
   * `snapshotSandbox` throws.
   */
  async take(order: SnapshotOrder): Promise<Snapshot> {
    const { store, now, verbs, collector } = this.#dependencies;
    const { by, sandboxId, wanted, signal } = order;
    const late = AbortSignal.timeout(this.#takeMilliseconds);
    const within = AbortSignal.any([signal, late]);
    const refuse = () => rehearse(store, (trx) => snapshotSandbox(trx, now(), by, sandboxId, wanted));
    await refuse();
    const taking = verbs.run(sandboxId, () =>
      collector.sparing(async () => {
        within.throwIfAborted();
        await refuse();
        return this.#take(order, within);
      }),
    );
    const snapshot = await untilAborted(taking, within).catch((error) => {
      throw signal.aborted ? error : failureOf(error, late.aborted);
    });
    // It may have replaced another.
    if (wanted.replace) collector.wake();
    return snapshot;
  }

  async #take({ by, sandboxId, wanted }: SnapshotOrder, within: AbortSignal): Promise<Snapshot> {
    const { store, now, agentOf } = this.#dependencies;
    const origin = await findOrigin(store.db, sandboxId);
    if (!origin) throw new MachineError('gone', 'The sandbox has no machine');
    await untilAborted(syncFiles(await untilAborted(agentOf(sandboxId), within), within), within);
    const taken = await askForSnapshot(this.#dependencies, sandboxId, within);
    return recordTaken(this.#dependencies, taken, origin, async (trx, held) => {
      within.throwIfAborted();
      await addMachineSnapshot(trx, now(), held);
      return snapshotSandbox(trx, now(), by, sandboxId, { ...wanted, machineRef: held.ref });
    });
  }
}
