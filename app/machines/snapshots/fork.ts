import type { Logger } from 'pino';
import type { Actor } from '../../../db/events/record.ts';
import { addMachine, findOrigin, type MachineOrigin, unready } from '../../../db/machines/rows.ts';
import type { Setup } from '../../../db/machines/setup.ts';
import { forkSandbox, forkSource } from '../../../db/sandboxes/fork.ts';
import { type KeyedRequest, sandboxesOfKey } from '../../../db/sandboxes/idempotency.ts';
import { newSandboxId } from '../../../db/sandboxes/insert.ts';
import type { Sandbox } from '../../../db/sandboxes/read.ts';
import { inTransaction, type Store } from '../../../db/store.ts';
import type { Agent } from '../agent/agent.ts';
import { syncFiles } from '../agent/files.ts';
import type { Connections } from '../connections.ts';
import type { Driver, MachineSpec } from '../driver.ts';
import { MachineError } from '../error.ts';
import { recordCreateFailed } from '../launch/failed.ts';
import type { KeysUnderWay } from '../launch/keys.ts';
import type { Starts } from '../launch/starts.ts';
import type { Removals } from '../lifecycle/removals.ts';
import { timed, type VerbMetrics } from '../lifecycle/timed.ts';
import type { Verbs } from '../lifecycle/verbs.ts';
import { egressOf } from '../network/settings.ts';
import { readyMilliseconds, startSetup } from '../setup/start.ts';
import { untilAborted } from '../until-aborted.ts';
import type { Collector } from './collector.ts';
import { failureOf } from './failure.ts';

/**
 * How long a fork may wait for its turn, and how long it may then take: in all, and for each copy.
 */
const limits = { waitMilliseconds: 50_000, forkMilliseconds: 30_000, copyMilliseconds: 2_000 };

/** How many places of `Starts` a fork takes, so that it holds up no other owner. */
const maxPlaces = 4;

/** Copies of a sandbox to start. */
export type ForkOrder = {
  by: Actor;
  keyed: KeyedRequest | null;
  sandboxId: string;
  count: number;
  lifetimeSeconds: number;
  /** Aborted when nobody waits for the copies any more. */
  signal: AbortSignal;
};

/** What copies are started from, with what their template lays down. */
type Copies = { specs: MachineSpec[]; setup: Setup | null };

/** How many copies there are already, and what to call when the others are copied. */
type How = { earlier: number; onCopied: () => void };

/** The copies that run, of which there is at least one, and why each of the others does not. */
export type Forked = { sandboxes: Sandbox[]; errors: MachineError[] };

type Dependencies = {
  store: Store;
  now: () => number;
  log: Logger;
  driver: Driver;
  agentOf: (id: string) => Promise<Agent>;
  connections: Connections;
  removals: Removals;
  starts: Starts;
  keys: KeysUnderWay;
  verbs: Verbs;
  collector: Collector;
  /** Null: nobody counts. */
  metrics: VerbMetrics | null;
};

/**
 * Starts copies of sandboxes with their machines: the machines' rows first, then the machines, then
 * the sandboxes. So a crash leaves rows to clean up by, and no sandbox without a machine.
 */
export class Forks {
  readonly #dependencies: Dependencies;
  readonly #limits: typeof limits;
  /** The copies whose machines are being started. */
  readonly #starting = new Set<string>();

  constructor(dependencies: Dependencies, given = limits) {
    this.#dependencies = dependencies;
    this.#limits = given;
  }

  /** Returns whether the machine of this sandbox is being started as a copy. */
  isForking(id: string): boolean {
    return this.#starting.has(id);
  }

  /**
   * Starts copies of a running sandbox and returns them, with those that the request's key started
   * before. Nothing stays of those that fail. Throws MachineError when all fail, and what
   * `forkSandbox` and `KeysUnderWay.run` throw.
   */
  async fork(order: ForkOrder): Promise<Forked> {
    const { store, now, keys } = this.#dependencies;
    const { by, keyed, count } = order;
    return keys.run(by.ownerId, keyed, async () => {
      const earlier = keyed ? await sandboxesOfKey(store.db, now(), by.ownerId, keyed) : [];
      return earlier.length >= count ? { sandboxes: earlier, errors: [] } : this.#inTurn(order, earlier.length);
    });
  }

  /** Waits for places, then for other changes of the machine. */
  async #inTurn(order: ForkOrder, earlier: number): Promise<Forked> {
    const { store, now, starts, verbs, collector } = this.#dependencies;
    const { by, sandboxId, signal } = order;
    const count = order.count - earlier;
    const places = Math.min(count, maxPlaces);
    await forkSource(store.db, now(), by, sandboxId);
    const waiting = AbortSignal.timeout(this.#limits.waitMilliseconds);
    await starts.acquire(by.ownerId, AbortSignal.any([signal, waiting]), places).catch((error) => {
      throw waiting.aborted ? new MachineError('full', 'Too many sandboxes are being started: try again later') : error;
    });
    const late = AbortSignal.timeout(this.#limits.forkMilliseconds + count * this.#limits.copyMilliseconds);
    const within = AbortSignal.any([signal, late]);
    const ids = Array.from({ length: count }, newSandboxId);
    const copying = Promise.withResolvers<void>();
    copying.promise.then(() => starts.release(by.ownerId, places));
    const start = () => this.#start(order, ids, { earlier, onCopied: copying.resolve }, within);
    const forking = verbs.run(sandboxId, () => collector.sparing(start));
    try {
      return await untilAborted(forking, within);
    } catch (error) {
      throw signal.aborted ? error : failureOf(error, late.aborted);
    } finally {
      copying.resolve();
    }
  }

  /** Starts machines under these ids and records the copies, and why the others failed. */
  async #start(order: ForkOrder, ids: string[], how: How, within: AbortSignal): Promise<Forked> {
    const { by, sandboxId, signal } = order;
    const failures = new Map<string, unknown>();
    for (const id of ids) this.#starting.add(id);
    try {
      const copies = await this.#begin(order, ids, within);
      return await this.#finish(order, copies, how, failures, within).catch((error) => {
        const failure = failureOf(error, within.aborted);
        for (const id of ids) failures.set(id, failures.get(id) ?? failure);
        throw error;
      });
    } finally {
      await this.#removeUnready(ids);
      for (const id of ids) this.#starting.delete(id);
      // Nothing is wrong if the client has left, as when a sandbox is started.
      for (const [id, failure] of signal.aborted ? [] : failures)
        await recordCreateFailed(this.#dependencies, by, id, failure, { forked_from: sandboxId });
    }
  }

  /** Writes the rows of copies, and finds out how to start them. */
  async #begin({ by, sandboxId }: ForkOrder, ids: string[], within: AbortSignal): Promise<Copies> {
    const { store, now, agentOf } = this.#dependencies;
    within.throwIfAborted();
    const { copied } = await forkSource(store.db, now(), by, sandboxId);
    const origin = await findOrigin(store.db, sandboxId);
    if (!origin) throw new MachineError('gone', 'The sandbox has no machine');
    await untilAborted(syncFiles(await untilAborted(agentOf(sandboxId), within), within), within);
    await this.#addRows(by, ids, origin);
    const { setup, ...made } = origin;
    const size = { vcpuCount: copied.vcpuCount, memoryMb: copied.memoryMb, network: egressOf(copied.settings) };
    return { setup, specs: ids.map((id): MachineSpec => ({ ...made, ...size, id, isSnapshot: false })) };
  }

  /**
   * Starts the machines and records those that run. Sets why the others do not. Throws when none
   * does.
   */
  async #finish(
    { by, sandboxId, lifetimeSeconds, keyed }: ForkOrder,
    { specs, setup }: Copies,
    { earlier, onCopied }: How,
    failures: Map<string, unknown>,
    within: AbortSignal,
  ): Promise<Forked> {
    const { store, now } = this.#dependencies;
    const outcomes = await this.#ask(sandboxId, specs, within);
    const copied = await Promise.all(specs.map(async (spec, n) => outcomes[n] ?? this.#connect(spec, within)));
    onCopied();
    const reasons = await Promise.all(specs.map(async ({ id }, n) => copied[n] ?? this.#setUp(id, setup, within)));
    for (const [n, { id }] of specs.entries()) if (reasons[n]) failures.set(id, reasons[n]);
    const ids = specs.map(({ id }) => id).filter((id) => !failures.has(id));
    const errors = reasons.filter((reason) => reason !== null);
    if (ids.length === 0) throw errors[0];
    within.throwIfAborted();
    const wanted = { count: earlier + ids.length, lifetimeSeconds, keyed, ids };
    return { sandboxes: await forkSandbox(store.db, now, by, sandboxId, wanted), errors };
  }

  async #addRows({ ownerId }: Actor, ids: string[], origin: MachineOrigin): Promise<void> {
    const { store, now, driver } = this.#dependencies;
    await inTransaction(store.db, async (trx) => {
      for (const sandboxId of ids) await addMachine(trx, now(), { ...origin, sandboxId, ownerId, driver: driver.name });
    });
  }

  /** Makes the driver start copies. What it starts too late is removed. */
  async #ask(sandboxId: string, specs: MachineSpec[], within: AbortSignal): Promise<(MachineError | null)[]> {
    const { driver, removals, metrics } = this.#dependencies;
    const asked = timed(metrics, 'fork', () => driver.fork(sandboxId, specs, within));
    return untilAborted(asked, within).catch((error) => {
      const removeAll = () => {
        for (const { id } of specs) removals.add(id);
      };
      asked.then(removeAll, removeAll);
      throw error;
    });
  }

  /** Connects to the agent of a copy. Returns null, or why that failed. */
  async #connect({ id, network }: MachineSpec, within: AbortSignal): Promise<MachineError | null> {
    try {
      await untilAborted(this.#dependencies.connections.connect(id, within, network), within);
      return null;
    } catch (cause) {
      if (!(cause instanceof MachineError)) throw cause;
      return cause.code === 'gone' ? new MachineError('failed', stopped, { cause }) : cause;
    }
  }

  /** Runs the commands of a copy's template, unless it has them running. Returns as `#connect`. */
  async #setUp(id: string, setup: Setup | null, signal: AbortSignal): Promise<MachineError | null> {
    const { connections, driver } = this.#dependencies;
    if (setup === null || driver.keepsMemory) return null;
    try {
      await startSetup(await connections.connect(id, signal), setup, { readyMilliseconds, signal });
      return null;
    } catch (cause) {
      if (cause instanceof MachineError) return cause;
      throw cause;
    }
  }

  /** Removes the machines that no sandbox got. Reconciling does so if this fails. */
  async #removeUnready(ids: string[]): Promise<void> {
    const { store, connections, removals } = this.#dependencies;
    for (const id of await unready(store.db, ids).catch(() => [])) {
      connections.close(id);
      removals.add(id);
    }
  }
}

const stopped = 'The machine of the copy stopped while it started';
