import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { protocolVersion } from '../agent/agent.ts';
import type {
  Death,
  Driver,
  EngineInfo,
  FoundMachine,
  ImageInfo,
  MachineSpec,
  PullProgress,
  Usage,
} from '../driver.ts';
import { MachineError } from '../error.ts';
import { notYet } from '../not-yet.ts';
import { endMachine, marker } from './end.ts';
import {
  agentFile,
  findAgent,
  machineIds,
  makeDirectory,
  type Place,
  placeOf,
  recordAgent,
  removeUnused,
} from './folder.ts';
import { descendantsOf, memoryOf, readStats } from './proc.ts';

export type ProcessDriverOptions = {
  instance: string;
  /** the database file, or `:memory:`; the machines' folders are beside it */
  db: string;
  /** the agent's program and its first arguments, instead of the built one */
  program?: string[];
};

const executablePath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** How long to wait before an agent that is still starting is tried again. */
const retryMilliseconds = 5;
/** How often machines of an earlier server are looked at. */
const watchMilliseconds = 250;
/** Images that this driver pretends not to find begin with this. */
const missingImage = 'missing/';

/**
 * Returns a driver for tests: each machine is the agent as a plain process of this user, with a
 * folder beside the database as its home. It isolates nothing and limits nothing.
 */
export function createProcessDriver(options: ProcessDriverOptions): Driver {
  return new ProcessDriver(options);
}

class ProcessDriver implements Driver {
  readonly name = 'process';
  readonly features = new Set<never>();
  readonly keepsMemory = false;
  readonly pause = notYet.pause;
  readonly stop = notYet.stop;
  readonly resume = notYet.resume;
  readonly snapshot = notYet.snapshot;
  readonly fork = notYet.fork;
  readonly snapshots = notYet.snapshots;
  readonly removeSnapshot = notYet.removeSnapshot;
  readonly #directory: string;
  readonly #program: string[] | undefined;
  readonly #closing = new AbortController();
  readonly #removals = new Map<string, Promise<void>>();
  /** called when a machine of this server ends */
  readonly #watchers = new Set<() => void>();

  constructor({ instance, db, program }: ProcessDriverOptions) {
    const parent = db === ':memory:' ? tmpdir() : dirname(resolve(db));
    this.#directory = join(parent, `machines-${instance}`);
    this.#program = program;
  }

  async probe(): Promise<EngineInfo> {
    if (process.platform !== 'linux') throw new MachineError('unavailable', 'The process driver needs Linux.');
    return { name: 'process', version: String(protocolVersion), address: this.#directory };
  }

  async create(spec: MachineSpec, signal: AbortSignal): Promise<void> {
    const place = placeOf(this.#directory, spec.id);
    refuseUnsupported(spec);
    if (spec.image.startsWith(missingImage)) throw noImage(spec.image);
    makeDirectory(this.#directory);
    const [program, ...args] = this.#program ?? [agentFile(this.#directory)];
    makeFolder(place, spec.id);
    try {
      const child = startAgent(place, program as string, args);
      child.once('exit', () => this.#wakeWatchers());
      await started(child);
      if (signal.aborted) throw new MachineError('timeout', 'The machine did not start in time.');
    } catch (error) {
      await this.remove(spec.id);
      throw error;
    }
  }

  async channel(id: string, signal: AbortSignal): Promise<Socket> {
    const place = placeOf(this.#directory, id);
    for (;;) {
      const isRunning = findAgent(place) !== null;
      const socket = isRunning ? await connectTo(place.socket) : null;
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
    return machineIds(this.#directory).map((id) => ({
      id,
      state: findAgent(placeOf(this.#directory, id)) !== null ? ('running' as const) : ('stopped' as const),
    }));
  }

  async *deaths(signal: AbortSignal): AsyncGenerator<Death> {
    const ended = AbortSignal.any([signal, this.#closing.signal]);
    let dead = new Set(await this.#deadMachines());
    while (!ended.aborted) {
      await this.#change(ended);
      const now = await this.#deadMachines();
      for (const id of now) if (!dead.has(id)) yield { id, reason: 'exited' };
      dead = new Set(now);
    }
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
    return reference.startsWith(missingImage) ? null : { id: reference, sizeBytes: 0 };
  }

  async pull(reference: string, _onProgress: PullProgress, _signal: AbortSignal): Promise<void> {
    if (reference.startsWith(missingImage)) throw noImage(reference);
  }

  async close(): Promise<void> {
    this.#closing.abort();
  }

  async #remove(id: string): Promise<void> {
    const place = placeOf(this.#directory, id);
    await endMachine(place);
    await rm(place.folder, { recursive: true, force: true, maxRetries: 5 });
    removeUnused(this.#directory);
  }

  async #deadMachines(): Promise<string[]> {
    const machines = await this.list();
    return machines.filter(({ id, state }) => state === 'stopped' && !this.#removals.has(id)).map(({ id }) => id);
  }

  /** Waits until a machine of this server ends, or it is time to look at the others. */
  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        this.#watchers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, watchMilliseconds).unref();
      signal.addEventListener('abort', wake);
      this.#watchers.add(wake);
    });
  }

  #wakeWatchers(): void {
    for (const wake of this.#watchers) wake();
  }
}

function refuseUnsupported({ network, runtime }: MachineSpec): void {
  if (network === 'none') throw new MachineError('unsupported', 'The process driver can not take away the network.');
  if (runtime !== null) throw new MachineError('unsupported', `The process driver has no runtime ${runtime}.`);
}

function noImage(reference: string): MachineError {
  return new MachineError('no_image', `There is no image ${reference}.`);
}

function makeFolder({ folder, home }: Place, id: string): void {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new MachineError('failed', `There is a machine ${id} already.`);
  }
  mkdirSync(home);
}

/** Starts the agent so that it outlives this server. */
function startAgent(place: Place, program: string, args: string[]): ChildProcess {
  const { home, socket, folder } = place;
  const env = { PATH: executablePath, LANG: 'C.UTF-8', [marker]: folder };
  const options = { cwd: home, env, detached: true, stdio: 'ignore' } as const;
  const child = spawn(program, [...args, 'serve', '--home', home, '--socket', socket], options);
  child.unref();
  if (child.pid !== undefined) recordAgent(place, child.pid);
  return child;
}

async function started(child: ChildProcess): Promise<void> {
  try {
    await once(child, 'spawn');
  } catch (cause) {
    throw new MachineError('failed', `The agent can not be started: ${(cause as Error).message}.`, { cause });
  }
}

/** Returns null if nothing listens. */
async function connectTo(path: string): Promise<Socket | null> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return socket;
  } catch {
    return null;
  }
}
