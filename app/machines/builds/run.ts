import type { Build } from '../../../db/builds/builds.ts';
import { finishBuild } from '../../../db/builds/finish.ts';
import { forgetLayer, putLayer, useLayer } from '../../../db/builds/layers.ts';
import type { BuildSpec } from '../../../db/builds/spec.ts';
import type { Actor } from '../../../db/events/record.ts';
import { noSetup, type Setup } from '../../../db/machines/setup.ts';
import { findMachineSnapshot, type MachineSnapshot } from '../../../db/machines/snapshots.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import type { BuildFiles } from '../build-files/build-files.ts';
import { MachineError } from '../error.ts';
import { readyMilliseconds, startSetup } from '../setup/start.ts';
import { type Base, type BaseParts, findBase } from './base.ts';
import type { BuildLog } from './build-log.ts';
import { BuildError, failedAt, finalizeStep, LostLayer } from './failure.ts';
import { layerKeys } from './keys.ts';
import { BuildMachine, type MachineParts } from './machine.ts';
import { doStep } from './steps.ts';
import { StepError } from './workplace.ts';

export type RunParts = MachineParts &
  BaseParts & {
    buildFiles: Pick<BuildFiles, 'open'>;
    limits: Limits;
  };

export type Limits = {
  stepMilliseconds: number;
  /** how long a ready command may need where snapshots hold memory: once for all creates */
  readyMilliseconds: number;
  /**
   * After steps that took this long, what the machine is now is kept for the next build: it takes
   * disk, and much of it where it holds memory.
   */
  layerMilliseconds: number;
  memoryLayerMilliseconds: number;
};

/** How often a build looks again for what it starts from, which others may remove. */
const maxTries = 3;

/** Where a build begins: after a number of steps, from what was kept then. */
type Position = { done: number; setup: Setup; image: string; isSnapshot: boolean; held: MachineSnapshot | null };

export type Order = Build & { spec: BuildSpec };

/** One build, from what it starts from to its snapshot. */
export class BuildRun {
  readonly #parts: RunParts;
  readonly #order: Order;
  readonly #by: Actor;
  readonly #log: BuildLog;
  readonly #signal: AbortSignal;
  readonly #machine: BuildMachine;

  constructor(parts: RunParts, order: Order, by: Actor, log: BuildLog, signal: AbortSignal) {
    const { ownerId, vcpuCount, memoryMb } = order;
    this.#parts = parts;
    this.#order = order;
    this.#by = by;
    this.#log = log;
    this.#signal = signal;
    this.#machine = new BuildMachine(parts, { ownerId, size: { vcpuCount, memoryMb }, signal });
  }

  /**
   * Builds the template and records it, unless the build is gone by then. Throws BuildError, the
   * reason of the signal, and other errors for faults of this server.
   */
  async run(): Promise<void> {
    const { ownerId, vcpuCount, memoryMb, spec } = this.#order;
    const base = await findBase(this.#parts, { ownerId, spec, size: { vcpuCount, memoryMb } }, this.#log, this.#signal);
    const keys = layerKeys(base, spec.steps);
    for (let tries = 1; ; tries++) {
      try {
        return await this.#from(base, keys);
      } catch (error) {
        if (!(error instanceof LostLayer) || tries === maxTries) throw error;
        this.#log.add('warn', 'base', 'What was kept of an earlier build is gone: beginning anew');
      } finally {
        this.#machine.end();
      }
    }
  }

  async #from(base: Base, keys: string[]): Promise<void> {
    const { steps } = this.#order.spec;
    let at = await this.#begin(base, keys);
    if (at.done < steps.length || (at.held === null && !this.#parts.driver.keepsMemory)) {
      await this.#start(base, keys, at);
      at = await this.#doSteps(base, keys, at);
    }
    await this.#finalize(base, keys, at);
  }

  /** Finds the layer of an earlier build from which the fewest steps are left. */
  async #begin(base: Base, keys: string[]): Promise<Position> {
    const { store, now, driver } = this.#parts;
    const { ownerId, templateId, spec } = this.#order;
    const forced = spec.force ? 0 : spec.steps.findIndex(({ force }) => force);
    const most = spec.force ? -1 : forced === -1 ? spec.steps.length : forced;
    return inTransaction(store.db, async (trx): Promise<Position> => {
      for (let done = most; done >= 0; done--) {
        const layer = await useLayer(trx, now(), ownerId, { key: keys[done] as string, templateId });
        if (layer?.driver !== driver.name) continue;
        const held = await findMachineSnapshot(trx, layer.ref);
        this.#sayCached(done);
        return { done, setup: layer.setup, image: layer.ref, isSnapshot: true, held };
      }
      const held = base.isSnapshot ? await findMachineSnapshot(trx, base.image) : null;
      return { done: 0, setup: base.setup ?? noSetup, image: base.image, isSnapshot: base.isSnapshot, held };
    });
  }

  #sayCached(done: number): void {
    for (let n = 0; n < done; n++) this.#log.add('info', String(n + 1), `CACHED ${this.#title(n)}`);
  }

  /** Starts the machine. Throws LostLayer if the driver has lost the layer. */
  async #start({ allowsSudo, runtime }: Base, keys: string[], { done, image, isSnapshot }: Position): Promise<void> {
    try {
      await this.#machine.start({ image, isSnapshot, allowsSudo, runtime });
    } catch (error) {
      const isLost = error instanceof MachineError && error.code === 'no_image' && isSnapshot;
      if (!isLost) throw failedAt('base', error);
      throw await this.#lost(keys[done], error);
    }
  }

  /** Does the steps that are left, and keeps layers between them. */
  async #doSteps(base: Base, keys: string[], from: Position): Promise<Position> {
    const { driver, limits } = this.#parts;
    const { steps } = this.#order.spec;
    const longEnough = driver.keepsMemory ? limits.memoryLayerMilliseconds : limits.layerMilliseconds;
    let at = from;
    let since = performance.now();
    for (let n = from.done; n < steps.length; n++) {
      const setup = await this.#doStep(n, at.setup);
      at = { ...at, setup, done: n + 1, held: null };
      if (n + 1 === steps.length || performance.now() - since < longEnough) continue;
      at = await this.#keep(keys, at);
      // The next layer then holds only what is new. With memory, all of it is kept anyway.
      if (!driver.keepsMemory) await this.#start(base, keys, at);
      since = performance.now();
    }
    return driver.keepsMemory ? at : this.#keep(keys, at);
  }

  async #doStep(n: number, setup: Setup): Promise<Setup> {
    const { stepMilliseconds } = this.#parts.limits;
    const late = AbortSignal.timeout(stepMilliseconds);
    const { ownerId, templateId } = this.#order;
    const step = String(n + 1);
    const title = this.#title(n);
    this.#log.add('info', step, title);
    const place = {
      agent: this.#machine.agent,
      setup,
      printing: this.#log.output(step, `[${step}] `),
      openFiles: (hash: string) => this.#parts.buildFiles.open(ownerId, { hash, templateId }),
      signal: AbortSignal.any([this.#signal, late]),
    };
    try {
      return await doStep(this.#order.spec.steps[n] as BuildSpec['steps'][number], place);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (late.aborted) throw new BuildError(step, `${title} took longer than ${stepMilliseconds / 1000} s`);
      throw failedAt(step, error, error instanceof StepError ? `${title} ` : `${title}: `);
    }
  }

  /** Names a step in one line: its number, its type, and what it does, which may be long. */
  #title(n: number): string {
    const { steps } = this.#order.spec;
    const { type, args } = steps[n] as BuildSpec['steps'][number];
    // Values of variables may be secrets.
    const shown = type === 'ENV' ? args.filter((_, at) => at % 2 === 0) : args.filter((arg) => arg !== '');
    const text = shown.join(' ').replaceAll(/\s+/g, ' ');
    return `[${n + 1}/${steps.length}] ${type} ${text.length > 200 ? `${text.slice(0, 200)}…` : text}`;
  }

  /** Keeps what the machine is now for the next build with the same steps so far. */
  async #keep(keys: string[], at: Position): Promise<Position> {
    const { now } = this.#parts;
    const { ownerId, templateId } = this.#order;
    const layer = { key: keys[at.done] as string, templateId, setup: at.setup };
    const record = async (trx: Trx, held: MachineSnapshot) => {
      await putLayer(trx, now(), ownerId, { ...layer, held });
      return held;
    };
    const held = await this.#machine.keep(record).catch((error) => {
      throw this.#failed(at.done === 0 ? 'base' : String(at.done), error);
    });
    return { ...at, image: held.ref, isSnapshot: true, held };
  }

  /**
   * Runs the start and the ready command, and records the template. Where snapshots hold memory,
   * it is taken of the running machine. Elsewhere each create runs the commands, so that they only
   * have to show here that they can.
   */
  async #finalize(base: Base, keys: string[], at: Position): Promise<void> {
    const { startCmd, readyCmd } = this.#order.spec;
    const isSet = startCmd !== null || readyCmd !== null;
    const setup = isSet ? { ...at.setup, startCmd, readyCmd } : at.setup;
    const keepsMemory = this.#parts.driver.keepsMemory;
    const mustRun = setup.startCmd !== null || setup.readyCmd !== null;
    // A base that holds memory has its commands running.
    const isRunning = keepsMemory && at.held?.hasMemory === true && at.done === 0 && !isSet;
    if (mustRun || keepsMemory) {
      if (!keepsMemory || at.held !== null || at.done === 0) await this.#start(base, keys, at);
      if (!isRunning) await this.#runSetup(setup);
    }
    const { held } = at;
    this.#log.add('info', finalizeStep, `Recording ${this.#order.name}`);
    // Clients ask for no more entries once the build has ended and they have read all.
    await this.#log.flush();
    if (keepsMemory || held === null) await this.#recordMachine(setup);
    else await this.#recordHeld(held, setup, keys[at.done]);
  }

  async #runSetup(setup: Setup): Promise<void> {
    const { driver, limits } = this.#parts;
    const printing = this.#log.output(finalizeStep, '[finalize] ');
    if (setup.startCmd !== null) this.#log.add('info', finalizeStep, `Running the start command: ${setup.startCmd}`);
    if (setup.readyCmd !== null) this.#log.add('info', finalizeStep, `Waiting until this succeeds: ${setup.readyCmd}`);
    try {
      await startSetup(this.#machine.agent, setup, {
        readyMilliseconds: driver.keepsMemory ? limits.readyMilliseconds : readyMilliseconds,
        watchMilliseconds: driver.keepsMemory ? memoryWatchMilliseconds : watchMilliseconds,
        receive: printing.receive,
        signal: this.#signal,
      });
    } catch (error) {
      throw this.#failed(finalizeStep, error);
    } finally {
      printing.end();
    }
  }

  async #recordMachine(setup: Setup): Promise<void> {
    const { now } = this.#parts;
    const { id } = this.#order;
    await this.#machine
      .keep(async (trx, held) => {
        this.#signal.throwIfAborted();
        // Nothing names what was kept if the build is gone: then it is removed.
        if ((await finishBuild(trx, now(), this.#by, id, { ...held, setup })) === null) throw new BuildGone();
      })
      .catch((error) => {
        if (!(error instanceof BuildGone)) throw this.#failed(finalizeStep, error);
      });
  }

  async #recordHeld(held: MachineSnapshot, setup: Setup, key: string | undefined): Promise<void> {
    const { store, now, driver } = this.#parts;
    const found = await driver.snapshots().catch((error) => {
      throw this.#failed(finalizeStep, error);
    });
    if (!found.some(({ ref }) => ref === held.ref)) throw await this.#lost(key);
    await inTransaction(store.db, async (trx) => {
      this.#signal.throwIfAborted();
      // Whoever named it may have let go of it: then it is being removed.
      if ((await findMachineSnapshot(trx, held.ref)) === null) throw new LostLayer(lost);
      await finishBuild(trx, now(), this.#by, this.#order.id, { ...held, setup });
    });
  }

  /** Forgets a layer that the driver has lost. Returns the error to throw. */
  async #lost(key: string | undefined, cause?: unknown): Promise<LostLayer> {
    if (key !== undefined) await forgetLayer(this.#parts.store.db, this.#order.ownerId, key);
    return new LostLayer(lost, { cause });
  }

  #failed(step: string, error: unknown): unknown {
    return this.#signal.aborted ? this.#signal.reason : failedAt(step, error);
  }
}

const lost = 'What the build had kept was removed meanwhile: build again';

/** How long a start command without a ready command is watched for failures. */
const watchMilliseconds = 1000;
/** As long as E2B waits: the snapshot is to hold what the command has started. */
const memoryWatchMilliseconds = 20_000;

class BuildGone extends Error {}
