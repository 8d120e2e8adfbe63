import type { Logger } from 'pino';
import { findOrigin } from '../../../db/machines/rows.ts';
import { addMachineSnapshot } from '../../../db/machines/snapshots.ts';
import { findUnkept, forgetLast, recordLast } from '../../../db/snapshots/last.ts';
import { inTransaction, type Store } from '../../../db/store.ts';
import type { Driver } from '../driver.ts';
import { MachineError } from '../error.ts';
import { Repeated } from '../lifecycle/repeated.ts';
import type { VerbMetrics } from '../lifecycle/timed.ts';
import type { Verbs } from '../lifecycle/verbs.ts';
import { askForSnapshot, recordTaken } from './ask.ts';
import type { Collector } from './collector.ts';
import { failureOf } from './failure.ts';

/** How long the last snapshot of a machine may take. */
const takeMilliseconds = 120_000;

type Dependencies = {
  store: Store;
  now: () => number;
  log: Logger;
  driver: Driver;
  verbs: Verbs;
  collector: Collector;
  metrics: VerbMetrics | null;
  /** Called when a machine may be removed. */
  onTaken: (id: string) => void;
};

/**
 * Takes the snapshots that sandboxes which have ended were to leave, before their machines are
 * removed. It tries again while the engine or the database is away. A machine of which none can be
 * taken is logged, and goes without.
 */
export class LastSnapshots extends Repeated {
  readonly #dependencies: Dependencies;

  constructor(dependencies: Dependencies) {
    const { log, onTaken } = dependencies;
    const work = async (id: string) => {
      await this.#take(id);
      onTaken(id);
    };
    super({ work, failure: 'the last snapshot of a sandbox could not be taken: trying again', log });
    this.#dependencies = dependencies;
  }

  /** Returns whether the machine is kept for its last snapshot, which is begun then. */
  async keeps(id: string): Promise<boolean> {
    const { store, now } = this.#dependencies;
    if (!(await findUnkept(store.db, now(), id))) return false;
    this.add(id);
    return true;
  }

  async #take(id: string): Promise<void> {
    const { store, now, log, verbs, collector } = this.#dependencies;
    try {
      await verbs.run(id, () => collector.sparing(() => this.#takeNow(id)));
    } catch (error) {
      const code = error instanceof MachineError ? error.code : null;
      // A call that the end of the server cuts off says `timeout`, too.
      const isOver = code === 'failed' || code === 'gone' || code === 'unsupported' || code === 'timeout';
      if (!isOver || this.isStopped) throw error;
      log.warn({ err: error, sandbox: id }, 'the last snapshot of a sandbox could not be taken');
      await inTransaction(store.db, (trx) => forgetLast(trx, now(), id));
    }
    // It may have replaced another.
    collector.wake();
  }

  async #takeNow(id: string): Promise<void> {
    const { store, now, collector } = this.#dependencies;
    const origin = await findOrigin(store.db, id);
    if (!origin) throw new MachineError('gone', 'The sandbox has no machine');
    const late = AbortSignal.timeout(takeMilliseconds);
    const taken = await askForSnapshot(this.#dependencies, id, late).catch((error) => {
      throw failureOf(error, late.aborted);
    });
    const recorded = await recordTaken(this.#dependencies, taken, origin, async (trx, held) => {
      await addMachineSnapshot(trx, now(), held);
      return recordLast(trx, now(), id, held.ref);
    });
    if (!recorded) collector.discard(taken.ref);
  }
}
