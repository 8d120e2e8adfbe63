import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { protocolVersion } from '../agent/agent.ts';
import { agentFile, makeDirectory } from '../agent/program.ts';
import type {
  Death,
  Driver,
  EngineInfo,
  Feature,
  FoundMachine,
  FoundSnapshot,
  ImageInfo,
  MachineSpec,
  PullProgress,
  TakenSnapshot,
  Usage,
} from '../driver.ts';
import { MachineError } from '../error.ts';
import { startCopies } from './copies.ts';
import { Deaths } from './deaths.ts';
import { endMachine } from './end.ts';
import { findAgent, machineIds, makeFolder, type Place, placeOf } from './folder.ts';
import { descendantsOf, memoryOf, readStats } from './proc.ts';
import { Snapshots } from './snapshots.ts';
import { connectTo, startAgent } from './start.ts';
import { forgetHalt, freeze, halt, stateOf, thaw, wasHalted } from './states.ts';

export type ProcessDriverOptions = {
  instance: string;
  /** the database file, or `:memory:`; the machines' folders are beside it */
  db: string;
  /** the agent's program and its first arguments, instead of the built one */
  program?: string[];
};

/** How long to wait before an agent that is still starting is tried again. */
const retryMilliseconds = 5;
/** Images that this driver pretends not to find begin with this. */
const missingImage = /^(docker\.io\/)?missing\//;

/**
 * Returns a driver for tests: each machine is the agent as a plain process of this user, with a
 * folder beside the database as its home. It isolates nothing and limits nothing.
 */
export function createProcessDriver(options: ProcessDriverOptions): Driver {
  return new ProcessDriver(options);
}

class ProcessDriver implements Driver {
  readonly name = 'process';
  readonly features = new Set<Feature>(['pause', 'snapshot']);
  readonly keepsMemory = false;
  readonly #directory: string;
  readonly #program: string[] | undefined;
  readonly #snapshots: Snapshots;
  readonly #deaths = new Deaths(() => this.#deadMachines());
  readonly #removals = new Map<string, Promise<void>>();

  constructor({ instance, db, program }: ProcessDriverOptions) {
    const parent = db === ':memory:' ? tmpdir() : dirname(resolve(db));
    this.#directory = join(parent, `machines-${instance}`);
    this.#snapshots = new Snapshots(this.#directory);
    this.#program = program;
  }

  async probe(): Promise<EngineInfo> {
    if (process.platform !== 'linux') throw new MachineError('unavailable', 'The process driver needs Linux.');
    return { name: 'process', version: String(protocolVersion), address: this.#directory };
  }

  async create(spec: MachineSpec, signal: AbortSignal): Promise<void> {
    const place = placeOf(this.#directory, spec.id);
    refuseUnsupported(spec);
    if (missingImage.test(spec.image)) throw noImage(spec.image);
    const start = (home?: string) => this.#start(place, spec.id, signal, home);
    if (spec.isSnapshot) await this.#snapshots.copied(this.#snapshots.homeOf(spec.image), spec.id, signal, start);
    else await start();
  }

  async channel(id: string, signal: AbortSignal): Promise<Socket> {
    const place = placeOf(this.#directory, id);
    for (;;) {
      const isRunning = findAgent(place) !== null;
      const socket = isRunning ? await connectTo(place) : null;
      if (socket !== null) return socket;
      if (!isRunning) throw new MachineError('gone', 'The machine does not exist or has stopped.');
      if (signal.aborted) throw new MachineError('timeout', 'The agent of the sandbox did not start in time.');
      await delay(retryMilliseconds, undefined, { signal }).catch(() => {});
    }
  }

  remove(id: string): Promise<void> {
    const underWay = this.#removals.get(id);
    if (underWay !== undefined) return underWay;
    const removal = this.#remove(id).finally(() => this.#removals.delete(id));
    this.#removals.set(id, removal);
    return removal;
  }

  async list(): Promise<FoundMachine[]> {
    return machineIds(this.#directory).map((id) => ({ id, state: stateOf(placeOf(this.#directory, id)) }));
  }

  async pause(id: string): Promise<void> {
    await freeze(this.#aliveAt(id));
  }

  async stop(id: string): Promise<void> {
    await halt(this.#existingAt(id));
  }

  async resume(id: string, signal: AbortSignal): Promise<void> {
    const place = this.#existingAt(id);
    if (findAgent(place) !== null) thaw(place);
    else {
      if (signal.aborted) throw new MachineError('timeout', 'The machine did not start in time.');
      // What a dead agent left must not run beside the new one.
      await endMachine(place);
      await startAgent(place, this.#command(), () => this.#deaths.wake());
    }
    forgetHalt(place);
  }

  /** These machines have no limits. */
  async resize(id: string): Promise<void> {
    this.#existingAt(id);
  }

  async snapshot(id: string, name: string, signal: AbortSignal): Promise<TakenSnapshot> {
    return this.#frozen(id, ({ home }) => this.#snapshots.take(home, name, signal));
  }

  /** Copies the home once while the machine is frozen, and that copy for each new machine. */
  async fork(id: string, specs: MachineSpec[], signal: AbortSignal): Promise<(MachineError | null)[]> {
    const name = `fork-${randomUUID()}`;
    await this.snapshot(id, name, signal);
    try {
      return await startCopies(specs, (spec) => this.create({ ...spec, image: name, isSnapshot: true }, signal));
    } finally {
      await this.#snapshots.remove(name);
    }
  }

  async snapshots(): Promise<FoundSnapshot[]> {
    return this.#snapshots.list();
  }

  async removeSnapshot(ref: string): Promise<void> {
    await this.#snapshots.remove(ref);
    this.#removeUnused();
  }

  deaths(signal: AbortSignal): AsyncIterable<Death> {
    return this.#deaths.follow(signal);
  }

  async usage(id: string): Promise<Usage> {
    const agent = findAgent(placeOf(this.#directory, id));
    if (agent === null) throw new MachineError('gone', 'The machine does not exist or has stopped.');
    const processes = [agent, ...descendantsOf(agent.pid, readStats())];
    const cpuSeconds = processes.reduce((sum, each) => sum + each.cpuSeconds, 0);
    const memoryBytes = processes.reduce((sum, { pid }) => sum + memoryOf(pid), 0);
    return { cpuSeconds, memoryBytes, cacheBytes: 0 };
  }

  async image(reference: string): Promise<ImageInfo | null> {
    return missingImage.test(reference) ? null : { id: reference, sizeBytes: 0 };
  }

  async pull(reference: string, _onProgress: PullProgress, _signal: AbortSignal): Promise<void> {
    if (missingImage.test(reference)) throw noImage(reference);
  }

  async close(): Promise<void> {
    this.#deaths.close();
  }

  async #remove(id: string): Promise<void> {
    const place = placeOf(this.#directory, id);
    await endMachine(place);
    await rm(place.folder, { recursive: true, force: true, maxRetries: 5 });
    this.#removeUnused();
  }

  /** Removes the directory of all machines if nothing is left in it. */
  #removeUnused(): void {
    if (machineIds(this.#directory).length > 0 || !this.#snapshots.isEmpty()) return;
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #command(): string[] {
    return this.#program ?? [agentFile(this.#directory)];
  }

  #existingAt(id: string): Place {
    const place = placeOf(this.#directory, id);
    if (!machineIds(this.#directory).includes(id)) throw new MachineError('gone', 'The machine does not exist.');
    return place;
  }

  #aliveAt(id: string): Place {
    const place = placeOf(this.#directory, id);
    if (findAgent(place) === null) throw new MachineError('gone', 'The machine does not exist or has stopped.');
    return place;
  }

  /** Does something while nothing in the machine runs. */
  async #frozen<T>(id: string, work: (place: Place) => Promise<T>): Promise<T> {
    const place = this.#aliveAt(id);
    const isPaused = stateOf(place) === 'paused';
    await freeze(place);
    try {
      return await work(place);
    } finally {
      if (!isPaused) thaw(place);
    }
  }

  /** Makes the machine's folder, with its own home or the given one, and starts the agent in it. */
  async #start(place: Place, id: string, signal: AbortSignal, home?: string): Promise<void> {
    makeDirectory(this.#directory);
    const command = this.#command();
    makeFolder(place, home);
    try {
      await startAgent(place, command, () => this.#deaths.wake());
      if (signal.aborted) throw new MachineError('timeout', 'The machine did not start in time.');
    } catch (error) {
      await this.remove(id);
      throw error;
    }
  }

  #deadMachines(): string[] {
    return machineIds(this.#directory).filter((id) => {
      const place = placeOf(this.#directory, id);
      return findAgent(place) === null && !this.#removals.has(id) && !wasHalted(place);
    });
  }
}

function refuseUnsupported({ network, runtime }: MachineSpec): void {
  if (!network.internet) throw new MachineError('unsupported', 'The process driver can not take away the network.');
  if (runtime !== null) throw new MachineError('unsupported', `The process driver has no runtime ${runtime}.`);
}

function noImage(reference: string): MachineError {
  return new MachineError('no_image', `There is no image ${reference}.`);
}
