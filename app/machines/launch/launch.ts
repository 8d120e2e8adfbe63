import type { Logger } from 'pino';
import { StoreError } from '../../../db/errors.ts';
import type { Actor } from '../../../db/events/record.ts';
import { addMachine, markReady } from '../../../db/machines/rows.ts';
import { type KeyedRequest, recordKey, sandboxesOfKey } from '../../../db/sandboxes/idempotency.ts';
import { newSandboxId } from '../../../db/sandboxes/insert.ts';
import type { Sandbox } from '../../../db/sandboxes/read.ts';
import { inTransaction, type Store, type Trx } from '../../../db/store.ts';
import { HttpError } from '../../errors.ts';
import type { Connections } from '../connections.ts';
import type { Driver, MachineSpec } from '../driver.ts';
import { MachineError, type MachineErrorCode } from '../error.ts';
import type { Image, Images } from '../images/images.ts';
import type { Removals } from '../lifecycle/removals.ts';
import { untilAborted } from '../until-aborted.ts';
import { Starts } from './starts.ts';

/** How long a create may wait for its turn, and how long its machine may then take to start. */
const limits = { waitMilliseconds: 50_000, startMilliseconds: 30_000 };

/** A sandbox to start with a machine. */
export type Order = {
  by: Actor;
  keyed: KeyedRequest | null;
  templateId: string | null;
  machine: Pick<MachineSpec, 'vcpuCount' | 'memoryMb' | 'network'>;
  /** Inserts the sandbox under this id, once its machine runs. */
  insert: (trx: Trx, id: string) => Promise<Sandbox>;
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
  readonly #starts = new Starts();
  /** The sandboxes whose machines are being started. */
  readonly #launching = new Set<string>();
  /** The keys of creates under way, with the hash of their request. */
  readonly #keys = new Map<string, Buffer>();

  constructor(dependencies: Dependencies, given = limits) {
    this.#dependencies = dependencies;
    this.#limits = given;
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
    if (!keyed) return this.#launchTimed(order);
    const key = `${by.ownerId} ${keyed.key}`;
    const underWay = this.#keys.get(key);
    if (underWay) throw inProgress(underWay.equals(keyed.hash));
    this.#keys.set(key, keyed.hash);
    try {
      return (await this.#earlier(by, keyed)) ?? (await this.#launchTimed(order));
    } finally {
      this.#keys.delete(key);
    }
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
    const waiting = AbortSignal.timeout(this.#limits.waitMilliseconds);
    const image = await this.#imageOf(order, waiting);
    await this.#rehearse(order);
    await this.#starts.acquire(ownerId, AbortSignal.any([order.signal, waiting])).catch((error) => {
      throw waiting.aborted ? new MachineError('full', 'Too many sandboxes are being started: try again later') : error;
    });
    const id = newSandboxId();
    this.#launching.add(id);
    try {
      return await this.#start({ ...order.machine, ...image, id }, order);
    } finally {
      this.#launching.delete(id);
      this.#starts.release(ownerId);
    }
  }

  async #imageOf({ by, templateId, signal }: Order, waiting: AbortSignal): Promise<Image> {
    const found = this.#dependencies.images.imageOf(by.ownerId, templateId);
    return untilAborted(found, AbortSignal.any([signal, waiting])).catch((error) => {
      throw waiting.aborted ? new MachineError('unavailable', 'The container engine does not answer') : error;
    });
  }

  /** Inserts the sandbox and takes it back, so that no machine is made for one that is refused. */
  async #rehearse({ insert }: Order): Promise<void> {
    const rehearsed = new Error('rolled back');
    const rehearse = async (trx: Trx) => {
      await insert(trx, newSandboxId());
      throw rehearsed;
    };
    await inTransaction(this.#dependencies.store.db, rehearse).catch((error) => {
      if (error !== rehearsed) throw error;
    });
  }

  async #start(spec: MachineSpec, { by, keyed, insert, signal }: Order): Promise<Sandbox> {
    const { store, now, driver, connections, images } = this.#dependencies;
    const { id, image, allowsSudo, runtime } = spec;
    await inTransaction(store.db, (trx) =>
      addMachine(trx, now(), { sandboxId: id, ownerId: by.ownerId, driver: driver.name, image, allowsSudo, runtime }),
    );
    const late = AbortSignal.timeout(this.#limits.startMilliseconds);
    const either = AbortSignal.any([signal, late]);
    let creating: Promise<void> | undefined;
    try {
      either.throwIfAborted();
      creating = driver.create(spec, either);
      await untilAborted(creating, either);
      images.check(image, await untilAborted(connections.connect(id, either), either));
      return await inTransaction(store.db, async (trx) => {
        signal.throwIfAborted();
        await markReady(trx, id);
        const sandbox = await insert(trx, id);
        if (keyed) await recordKey(trx, now(), by.ownerId, keyed, [sandbox]);
        return sandbox;
      });
    } catch (error) {
      this.#undo(id, creating);
      throw signal.aborted ? error : this.#explain(error, spec, late.aborted);
    }
  }

  /** Returns the error to answer with, after logging it. */
  #explain(error: unknown, { id, image }: MachineSpec, isLate: boolean): unknown {
    const { log, images } = this.#dependencies;
    log.warn({ err: error, sandbox: id }, 'a sandbox could not be started');
    if (isLate) return tooSlow(error);
    if (!(error instanceof MachineError)) return error;
    if (error.code === 'no_image') return images.missing(image);
    return error.code === 'gone' ? new MachineError('failed', stopped, { cause: error }) : error;
  }

  /** Removes what there is of a machine: now, and again if the engine still makes it after that. */
  #undo(id: string, creating: Promise<void> | undefined): void {
    const { connections, removals } = this.#dependencies;
    connections.close(id);
    removals.add(id);
    const removeAgain = () => removals.add(id);
    creating?.then(removeAgain, removeAgain);
  }
}

function outcomeOf(error: unknown, hasLeft: boolean): LaunchOutcome {
  if (hasLeft) return 'client_left';
  if (error instanceof MachineError) return error.code;
  return error instanceof HttpError && error.status === 503 ? 'no_image' : 'refused';
}

const stopped = 'The machine of the sandbox stopped while it started';

function inProgress(isSame: boolean): StoreError {
  return isSame
    ? new StoreError(
        'key_in_progress',
        'A request with this Idempotency-Key is under way: repeat it when that has ended',
      )
    : new StoreError('key_used', 'This Idempotency-Key was used for another request: use a new key');
}

function tooSlow(error: unknown): MachineError {
  const reason = 'The machine of the sandbox did not start in time: try again later';
  return new MachineError('timeout', reason, { cause: error });
}
