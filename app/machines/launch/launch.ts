import type { Logger } from 'pino';
import type { Actor } from '../../../db/events/record.ts';
import { addMachine, markReady } from '../../../db/machines/rows.ts';
import { type KeyedRequest, recordKey, sandboxesOfKey } from '../../../db/sandboxes/idempotency.ts';
import { newSandboxId } from '../../../db/sandboxes/insert.ts';
import type { Sandbox } from '../../../db/sandboxes/read.ts';
import { inTransaction, type Store, type Trx } from '../../../db/store.ts';
import { HttpError } from '../../errors.ts';
import type { Agent } from '../agent/agent.ts';
import type { Connections } from '../connections.ts';
import type { Driver, MachineSpec } from '../driver.ts';
import { MachineError, type MachineErrorCode } from '../error.ts';
import { type Image, type Images, snapshotMissing } from '../images/images.ts';
import type { Removals } from '../lifecycle/removals.ts';
import { readyMilliseconds, startSetup } from '../setup/start.ts';
import { untilAborted } from '../until-aborted.ts';
import { recordCreateFailed } from './failed.ts';
import type { KeysUnderWay } from './keys.ts';
import { dropMachine, makeMachine } from './make.ts';
import { rehearse } from './rehearse.ts';
import { type AskedSize, type Size, sizeOf } from './size.ts';
import type { Starts } from './starts.ts';

/**
 * How long a create may wait for its turn, how long its machine may then take to start, and how
 * long the commands of its template.
 */
const limits = { waitMilliseconds: 50_000, startMilliseconds: 30_000, readyMilliseconds };

/** A sandbox to start with a machine. */
export type Order = {
  by: Actor;
  keyed: KeyedRequest | null;
  templateId: string | null;
  machine: Pick<MachineSpec, 'network'> & AskedSize;
  /** Inserts the sandbox under this id, once its machine of this size runs. */
  insert: (trx: Trx, id: string, size: Size) => Promise<Sandbox>;
  /** Aborted when nobody waits for the sandbox any more. */
  signal: AbortSignal;
};

/** Why a machine did not start, unless it did. `refused`: the store or a rule did not allow it. */
export type LaunchOutcome = 'started' | 'client_left' | 'refused' | MachineErrorCode;

type Dependencies = {
  store: Store;
  now: () => number;
  log: Logger;
  driver: Driver;
  connections: Connections;
  removals: Removals;
  starts: Starts;
  keys: KeysUnderWay;
  /** Null: nobody counts. */
  metrics: { launched: (outcome: LaunchOutcome, seconds: number) => void } | null;
  images: Pick<Images, 'imageOf' | 'missing' | 'check'>;
};

/**
 * Starts sandboxes with their machines. The machine's row comes first, then the machine, then the
 * sandbox: so a crash leaves a row to clean up by, and never a sandbox without a machine. No call
 * to the engine happens inside a transaction.
 */
export class Launcher {
  readonly #dependencies: Dependencies;
  readonly #limits: typeof limits;
  /** The sandboxes whose machines are being started. */
  readonly #launching = new Set<string>();

  constructor(dependencies: Dependencies, given: Partial<typeof limits> = {}) {
    this.#dependencies = dependencies;
    this.#limits = { ...limits, ...given };
  }

  /** Returns whether the machine of this sandbox is being started. */
  isLaunching(id: string): boolean {
    return this.#launching.has(id);
  }

  /**
   * Starts a sandbox and returns it, or the one that the request's key started before. On failure
   * nothing of it stays. Throws MachineError, StoreError `key_in_progress` while a create with the
   * same key is under way, and what `sandboxesOfKey`, `imageOf` and `insert` throw.
   */
  async launch(order: Order): Promise<Sandbox> {
    const { by, keyed } = order;
    const { keys } = this.#dependencies;
    return keys.run(by.ownerId, keyed, async () => {
      const earlier = keyed && (await this.#earlier(by, keyed));
      return earlier ?? this.#launchTimed(order);
    });
  }

  async #earlier({ ownerId }: Actor, keyed: KeyedRequest): Promise<Sandbox | undefined> {
    const { store, now } = this.#dependencies;
    const [earlier] = await sandboxesOfKey(store.db, now(), ownerId, keyed);
    return earlier;
  }

  async #launchTimed(order: Order): Promise<Sandbox> {
    const begin = performance.now();
    const report = (outcome: LaunchOutcome) =>
      this.#dependencies.metrics?.launched(outcome, (performance.now() - begin) / 1000);
    try {
      const sandbox = await this.#launchNew(order);
      report('started');
      return sandbox;
    } catch (error) {
      report(outcomeOf(error, order.signal.aborted));
      throw error;
    }
  }

  async #launchNew(order: Order): Promise<Sandbox> {
    const { ownerId } = order.by;
    const { store, starts } = this.#dependencies;
    const waiting = AbortSignal.timeout(this.#limits.waitMilliseconds);
    const image = await this.#imageOf(order, waiting);
    const size = sizeOf(order.machine, image);
    await rehearse(store, (trx) => order.insert(trx, newSandboxId(), size));
    await starts.acquire(ownerId, AbortSignal.any([order.signal, waiting])).catch((error) => {
      throw waiting.aborted ? new MachineError('full', 'Too many sandboxes are being started: try again later') : error;
    });
    const id = newSandboxId();
    this.#launching.add(id);
    const making = this.#make(specOf(id, order, image, size), image, order);
    making.catch(() => {}).finally(() => starts.release(ownerId));
    try {
      return await this.#finish(await making, id, image, size, order);
    } catch (error) {
      if (order.signal.aborted) throw error;
      await recordCreateFailed(this.#dependencies, order.by, id, error, { template_id: order.templateId });
      throw this.#explain(error, image);
    } finally {
      this.#launching.delete(id);
    }
  }

  async #imageOf({ by, templateId, signal }: Order, waiting: AbortSignal): Promise<Image> {
    const found = this.#dependencies.images.imageOf(by.ownerId, templateId);
    return untilAborted(found, AbortSignal.any([signal, waiting])).catch((error) => {
      throw waiting.aborted ? new MachineError('unavailable', 'The container engine does not answer') : error;
    });
  }

  /** Writes the machine's row, makes the machine, and returns the connection to its agent. */
  async #make(spec: MachineSpec, { setup }: Image, { by: { ownerId }, signal }: Order): Promise<Agent> {
    const { store, now, driver, images } = this.#dependencies;
    const { id, image, allowsSudo, runtime } = spec;
    await inTransaction(store.db, (trx) =>
      addMachine(trx, now(), { sandboxId: id, ownerId, driver: driver.name, image, allowsSudo, runtime, setup }),
    );
    const late = AbortSignal.timeout(this.#limits.startMilliseconds);
    const agent = await makeMachine(this.#dependencies, spec, AbortSignal.any([signal, late])).catch((error) => {
      throw late.aborted && !signal.aborted ? tooSlow(error) : error;
    });
    if (!spec.isSnapshot) images.check(image, agent);
    return agent;
  }

  /** Runs the template's commands, unless they run already, and records the sandbox. */
  async #finish(agent: Agent, id: string, image: Image, size: Size, order: Order): Promise<Sandbox> {
    const { store, now } = this.#dependencies;
    const { by, keyed, insert, signal } = order;
    const { readyMilliseconds } = this.#limits;
    try {
      if (image.setup && !image.hasMemory) await startSetup(agent, image.setup, { readyMilliseconds, signal });
      return await inTransaction(store.db, async (trx) => {
        signal.throwIfAborted();
        await markReady(trx, id);
        const sandbox = await insert(trx, id, size);
        if (keyed) await recordKey(trx, now(), by.ownerId, keyed, [sandbox]);
        return sandbox;
      });
    } catch (error) {
      dropMachine(this.#dependencies, id);
      throw error;
    }
  }

  /** Returns the error to answer with. */
  #explain(error: unknown, { image, isSnapshot }: Image): unknown {
    if (!(error instanceof MachineError)) return error;
    if (error.code === 'no_image') return isSnapshot ? snapshotMissing() : this.#dependencies.images.missing(image);
    return error.code === 'gone' ? new MachineError('failed', stopped, { cause: error }) : error;
  }
}

function specOf(id: string, { machine: { network } }: Order, from: Image, size: Size): MachineSpec {
  const { image, isSnapshot, allowsSudo, runtime } = from;
  return { id, image, isSnapshot, allowsSudo, runtime, network, ...size };
}

function outcomeOf(error: unknown, hasLeft: boolean): LaunchOutcome {
  if (hasLeft) return 'client_left';
  if (error instanceof MachineError) return error.code;
  return error instanceof HttpError && error.status === 503 ? 'no_image' : 'refused';
}

const stopped = 'The machine of the sandbox stopped while it started';

function tooSlow(error: unknown): MachineError {
  const reason = 'The machine of the sandbox did not start in time: try again later';
  return new MachineError('timeout', reason, { cause: error });
}
