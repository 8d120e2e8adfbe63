import { addMachine } from '../../../db/machines/rows.ts';
import type { MachineSnapshot } from '../../../db/machines/snapshots.ts';
import { newSandboxId } from '../../../db/sandboxes/insert.ts';
import { inTransaction, type Store, type Trx } from '../../../db/store.ts';
import type { Agent } from '../agent/agent.ts';
import { syncFiles } from '../agent/files.ts';
import type { Connections } from '../connections.ts';
import type { Driver, MachineSpec } from '../driver.ts';
import { MachineError } from '../error.ts';
import { dropMachine, makeMachine } from '../launch/make.ts';
import type { Size } from '../launch/size.ts';
import type { Starts } from '../launch/starts.ts';
import type { Removals } from '../lifecycle/removals.ts';
import type { VerbMetrics } from '../lifecycle/timed.ts';
import { openNetwork } from '../network/rules.ts';
import { askForSnapshot, recordTaken } from '../snapshots/ask.ts';
import type { Collector } from '../snapshots/collector.ts';
import { untilAborted } from '../until-aborted.ts';

/** How long a machine may take to start, and what the driver keeps of it to be written. */
const startMilliseconds = 60_000;
const keepMilliseconds = 600_000;

export type MachineParts = {
  store: Store;
  now: () => number;
  driver: Driver;
  connections: Connections;
  removals: Removals;
  starts: Starts;
  collector: Collector;
  /** Null: nobody counts. */
  metrics: VerbMetrics | null;
  /** The machines of builds, which no sandbox has. */
  building: Set<string>;
};

type From = Pick<MachineSpec, 'image' | 'isSnapshot' | 'allowsSudo' | 'runtime'>;

/**
 * The machine in which a build runs its steps: one after another, each from what was kept of the
 * one before. Its row has no sandbox, so that a crash leaves nothing that stays.
 */
export class BuildMachine {
  readonly #parts: MachineParts;
  readonly #owner: { ownerId: number; size: Size; signal: AbortSignal };
  #running: { id: string; agent: Agent; from: From } | null = null;

  constructor(parts: MachineParts, owner: { ownerId: number; size: Size; signal: AbortSignal }) {
    this.#parts = parts;
    this.#owner = owner;
  }

  /** The connection to its agent. Throws an Error before `start`. */
  get agent(): Agent {
    return this.#machine().agent;
  }

  /** Starts a machine in the place of the one before, in turn with others. Throws MachineError. */
  async start(from: From): Promise<void> {
    const { starts } = this.#parts;
    const { ownerId, signal } = this.#owner;
    this.end();
    await starts.acquire(ownerId, signal);
    try {
      this.#running = await this.#make(from);
    } finally {
      starts.release(ownerId);
    }
  }

  /**
   * Makes the driver keep what the machine is now, and records it with `record`. On failure nothing
   * of it stays. Throws MachineError and what `record` throws.
   */
  async keep<T>(record: (trx: Trx, held: MachineSnapshot) => Promise<T>): Promise<T> {
    const { collector } = this.#parts;
    const { id, agent, from } = this.#machine();
    const late = AbortSignal.timeout(keepMilliseconds);
    const within = AbortSignal.any([this.#owner.signal, late]);
    return collector.sparing(async () => {
      await untilAborted(syncFiles(agent, within), within);
      const taken = await askForSnapshot(this.#parts, id, within).catch((error) => {
        throw late.aborted
          ? new MachineError('timeout', 'The machine was not copied in time', { cause: error })
          : error;
      });
      return recordTaken(this.#parts, taken, from, record);
    });
  }

  /** Removes the machine, in the background. */
  end(): void {
    if (!this.#running) return;
    const { id } = this.#running;
    this.#running = null;
    dropMachine(this.#parts, id);
    this.#parts.building.delete(id);
  }

  #machine() {
    if (!this.#running) throw new Error('the build has no machine');
    return this.#running;
  }

  async #make(from: From) {
    const { store, now, driver, building } = this.#parts;
    const { ownerId, size, signal } = this.#owner;
    const id = newSandboxId();
    const late = AbortSignal.timeout(startMilliseconds);
    const { image, isSnapshot, allowsSudo, runtime } = from;
    const row = { sandboxId: id, ownerId, driver: driver.name, image, allowsSudo, runtime, setup: null };
    building.add(id);
    try {
      await inTransaction(store.db, (trx) => addMachine(trx, now(), row));
      const spec = { id, image, isSnapshot, allowsSudo, runtime, ...size, network: openNetwork };
      return { id, from, agent: await makeMachine(this.#parts, spec, AbortSignal.any([signal, late])) };
    } catch (error) {
      building.delete(id);
      signal.throwIfAborted();
      throw late.aborted ? new MachineError('timeout', slow, { cause: error }) : error;
    }
  }
}

const slow = 'The machine of the build did not start in time: try again later';
