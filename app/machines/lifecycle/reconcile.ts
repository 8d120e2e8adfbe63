import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from 'pino';
import { endLost, type LossReason, recordsWithoutMachine } from '../../../db/machines/lost.ts';
import { findMachineRow, listMachines, type MachineRow, setMachineState } from '../../../db/machines/rows.ts';
import { inTransaction, type Store } from '../../../db/store.ts';
import type { Metrics } from '../../context.ts';
import type { Death, Driver, FoundMachine, MachineState } from '../driver.ts';
import { untilAborted } from '../until-aborted.ts';
import type { Removals } from './removals.ts';
import type { Verbs } from './verbs.ts';

/** How often records and machines are compared. */
const intervalMilliseconds = 30_000;

/** How long the engine may take to list its machines. It ends nothing until it has answered. */
const listMilliseconds = 30_000;

/** How long to wait before the engine's events are read again: longer each time, up to a limit. */
const firstRetryMilliseconds = 250;
const lastRetryMilliseconds = 5000;

/** How many sandboxes one transaction ends. */
const batchSize = 100;

const reasonOf: Record<Death['reason'], LossReason> = { exited: 'machine_died', out_of_memory: 'out_of_memory' };

type Dependencies = {
  store: Store;
  now: () => number;
  log: Logger;
  driver: Driver;
  removals: Removals;
  /** Null: nobody counts. */
  metrics: Pick<Metrics, 'machinesLost'> | null;
  /** Returns whether the machine of this sandbox is being started. */
  isLaunching: (id: string) => boolean;
  verbs: Verbs;
  /** Makes a machine follow the record of its sandbox, in the background. */
  follow: (id: string) => void;
};

/**
 * Makes records and machines agree: at the start, on a timer, and when a machine dies. Machines
 * without a sandbox are removed, sandboxes without a machine end, and machines that are not as
 * paused as their sandboxes follow them. Only what the engine says counts: one that does not answer
 * ends nothing.
 */
export class Reconciler {
  readonly #dependencies: Dependencies;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #followed: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isEngineAway = false;

  constructor(dependencies: Dependencies) {
    this.#dependencies = dependencies;
  }

  start(): void {
    this.#followed = this.#followDeaths();
    this.#timer = setInterval(() => this.#run(), intervalMilliseconds).unref();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the server is stopping'));
    clearInterval(this.#timer);
    await Promise.all([this.#running, this.#followed]);
  }

  /** Compares records and machines, unless that is under way. */
  #run(): void {
    if (this.#running || this.#stopping.signal.aborted) return;
    const { log } = this.#dependencies;
    this.#running = this.#compare()
      .then(() => {
        this.#isEngineAway = false;
      })
      .catch((error) => {
        // Once: the engine may be away for hours.
        if (this.#isEngineAway || this.#stopping.signal.aborted) return;
        this.#isEngineAway = true;
        log.warn({ err: error }, 'records and machines could not be compared: trying again');
      })
      .finally(() => {
        this.#running = undefined;
      });
  }

  async #compare(): Promise<void> {
    const { store, now, driver, isLaunching, verbs } = this.#dependencies;
    verbs.noteChanges();
    // Before the engine answers, so that a machine that starts meanwhile does not seem missing.
    const before = await listMachines(store.db, now(), driver.name);
    const halfMade = new Set(before.filter(({ isReady, id }) => !isReady && !isLaunching(id)).map(({ id }) => id));
    const within = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(listMilliseconds)]);
    const found = await untilAborted(driver.list(), within);
    const after = await listMachines(store.db, now(), driver.name);
    this.#removeStray(found, after, halfMade);
    const wasReady = new Set(before.filter(({ isReady }) => isReady).map(({ id }) => id));
    // What was changed meanwhile may be in another state than the engine has said.
    const rows = after.filter(({ id }) => wasReady.has(id) && !verbs.hasChanged(id));
    await this.#settle(rows, new Map(found.map(({ id, state }) => [id, state])));
    await this.#endBare();
  }

  /** Ends sandboxes whose machines are gone, and lets other machines follow the sandboxes. */
  async #settle(rows: MachineRow[], states: Map<string, MachineState>): Promise<void> {
    const { driver, follow } = this.#dependencies;
    const canPause = driver.features.has('pause');
    const idsOf = (isWanted: (row: MachineRow, state: MachineState | undefined) => boolean) =>
      rows.filter((row) => isWanted(row, states.get(row.id))).map(({ id }) => id);
    await this.#end(
      idsOf((_row, state) => state === undefined),
      'machine_missing',
    );
    await this.#end(
      // One that was told to stop, for a pause that a crash cut short, starts again.
      idsOf((row, state) => row.status === 'active' && state === 'stopped' && !(canPause && row.state === 'stopped')),
      'machine_died',
    );
    await this.#markStopped(idsOf((row, state) => row.state !== 'stopped' && state === 'stopped'));
    if (!canPause) return;
    const isAstray = ({ status, ...row }: MachineRow, state: MachineState | undefined) =>
      status === 'active'
        ? state !== 'running' || row.state !== 'running'
        : status === 'paused' && state !== 'stopped' && state !== row.state;
    for (const id of idsOf(isAstray)) follow(id);
  }

  /** Records that the machines of those of the sandboxes that are paused have lost their memory. */
  async #markStopped(ids: string[]): Promise<void> {
    const { store, now, verbs } = this.#dependencies;
    for (const id of ids) {
      const machine = await findMachineRow(store.db, now(), id);
      if (machine?.status === 'paused' && !verbs.isBusy(id)) await setMachineState(store.db, id, 'stopped');
    }
  }

  /** Removes machines without a row, and those whose start was cut short. */
  #removeStray(found: FoundMachine[], rows: MachineRow[], halfMade: Set<string>): void {
    const { log, removals } = this.#dependencies;
    const known = new Set(rows.map(({ id }) => id));
    const orphans = found.map(({ id }) => id).filter((id) => !known.has(id));
    const unfinished = rows.filter(({ id, isReady }) => !isReady && halfMade.has(id)).map(({ id }) => id);
    const stray = [...orphans, ...unfinished].filter((id) => !removals.has(id));
    for (const id of stray) removals.add(id);
    if (stray.length > 0)
      log.warn({ sandboxes: stray.slice(0, batchSize) }, `removing ${stray.length} machines that no sandbox needs`);
  }

  /** Ends sandboxes that were recorded without machines, e.g. by a server with records only. */
  async #endBare(): Promise<void> {
    const { store, now } = this.#dependencies;
    while (!this.#stopping.signal.aborted) {
      const ids = await recordsWithoutMachine(store.db, now(), batchSize);
      if ((await this.#end(ids, 'machine_missing')) === 0) return;
    }
  }

  /** Returns how many of the sandboxes it ended. */
  async #end(ids: string[], reason: LossReason): Promise<number> {
    const { store, now, log, metrics } = this.#dependencies;
    let ended = 0;
    for (let from = 0; from < ids.length && !this.#stopping.signal.aborted; from += batchSize) {
      const batch = ids.slice(from, from + batchSize);
      ended += await inTransaction(store.db, (trx) => endLost(trx, now(), batch, reason));
      await nextTurn();
    }
    if (ended > 0) {
      log.warn({ ended, reason, sandboxes: ids.slice(0, batchSize) }, 'machines are gone: sandboxes ended');
      metrics?.machinesLost(reason, ended);
    }
    return ended;
  }

  /**
   * Ends the sandboxes of machines that die, unless they are paused, and compares everything
   * whenever it begins anew.
   */
  async #followDeaths(): Promise<void> {
    const { driver, log, verbs } = this.#dependencies;
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted; failures += 1) {
      this.#run();
      try {
        const deaths = driver.deaths(signal)[Symbol.asyncIterator]();
        for (;;) {
          const { value, done } = await untilAborted(deaths.next(), signal);
          if (done) break;
          failures = 0;
          // What a change does to a machine is no death.
          if (verbs.isBusy(value.id)) continue;
          await this.#end([value.id], reasonOf[value.reason]);
          await this.#markStopped([value.id]);
        }
      } catch (error) {
        if (!signal.aborted && failures === 0)
          log.warn({ err: error }, 'deaths of machines cannot be followed: trying again');
      }
      const milliseconds = Math.min(firstRetryMilliseconds * 2 ** failures, lastRetryMilliseconds);
      await delay(milliseconds, undefined, { signal, ref: false }).catch(() => {});
    }
  }
}
