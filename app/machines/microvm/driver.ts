import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { readEnvironment } from '../../config/engine-environment.ts';
import { makeDirectory } from '../agent/program.ts';
import type {
  Death,
  Driver,
  DriverOptions,
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
import type { EgressRules } from '../network/rules.ts';
import { begin, createArguments, refuseImpossible, restoreArguments, startAgent } from './create.ts';
import { Bell, watchDeaths } from './deaths.ts';
import { forkMachine } from './fork.ts';
import { findImage, pullImage } from './images.ts';
import { listMachines, pause, remove, stateNow, stop, thaw } from './machines.ts';
import { Places } from './places.ts';
import { findMsb } from './runtime/find.ts';
import { deadlines, Msb } from './runtime/msb.ts';
import { featuresOf } from './runtime/version.ts';
import { listSnapshots, mustBeOurs, removeSnapshot, takeSnapshot } from './snapshots.ts';
import { Sockets } from './sockets.ts';

/** What an agent is given to dial before its machine is looked at, in milliseconds. */
const dialMilliseconds = 1000;

/** Returns a driver whose machines are microVMs of microsandbox's `msb`. */
export function createMicrovmDriver(options: DriverOptions, env = readEnvironment()): Driver {
  return new MicrovmDriver(options, env);
}

class MicrovmDriver implements Driver {
  readonly name = 'microvm';
  readonly keepsMemory = true;
  /** Changed in place: others keep a reference to it. */
  readonly features = new Set<Feature>(['pause', 'snapshot', 'egress', 'domains']);
  readonly #setting: string | undefined;
  readonly #env: NodeJS.ProcessEnv;
  readonly #isGuest: boolean;
  readonly #places: Places;
  readonly #bell = new Bell();
  readonly #sockets = new Sockets(() => this.#bell.ring());
  readonly #closing = new AbortController();
  /** how many calls change each machine now */
  readonly #busy = new Map<string, number>();
  readonly #creating = new Map<string, Promise<void>>();
  /** the machines that were told to end */
  readonly #ended = new Set<string>();
  #found: Msb | undefined;
  #probed: Promise<EngineInfo> | undefined;

  constructor({ instance, msb, db, isGuest = false }: DriverOptions, env: NodeJS.ProcessEnv) {
    this.#setting = msb;
    this.#env = env;
    this.#isGuest = isGuest;
    this.#places = new Places(instance, db);
  }

  async probe(): Promise<EngineInfo> {
    const msb = this.#msb();
    const text = await msb.run(['--version'], { doing: 'say its version', milliseconds: deadlines.read });
    const { version, features } = featuresOf(text);
    this.features.clear();
    for (const feature of features) this.features.add(feature);
    return { name: 'microsandbox', version, address: msb.path };
  }

  create(spec: MachineSpec, signal: AbortSignal): Promise<void> {
    const until = AbortSignal.any([signal, this.#closing.signal]);
    const creating =
      this.#creating.get(spec.id) ?? this.#create(spec, until).finally(() => this.#creating.delete(spec.id));
    this.#creating.set(spec.id, creating);
    return creating;
  }

  async channel(id: string, signal: AbortSignal): Promise<Socket> {
    const until = AbortSignal.any([signal, this.#closing.signal]);
    if (!this.#places.exists(id)) throw gone();
    for (;;) {
      const soon = AbortSignal.any([until, AbortSignal.timeout(dialMilliseconds)]);
      try {
        return await this.#sockets.take(id, this.#places.of(id).socket, soon);
      } catch (error) {
        if (!soon.aborted) throw unavailable(error);
      }
      if (until.aborted) throw new MachineError('timeout', 'The agent of the sandbox did not start in time.');
      await this.#mustRun(id, until);
    }
  }

  async remove(id: string): Promise<void> {
    this.#ended.add(id);
    await this.#change(id, () => remove(this.#msb(), this.#places, id));
    await this.#sockets.close(id);
    this.#ended.delete(id);
  }

  async list(): Promise<FoundMachine[]> {
    // The first thing that is asked of a driver: from then on it is known what msb can do.
    this.#probed ??= this.probe();
    await this.#probed.catch((error) => {
      this.#probed = undefined;
      throw error;
    });
    const found = await listMachines(this.#msb(), this.#places, (id) => this.#isGuest || this.#busy.has(id));
    // The sockets belong to the server.
    if (this.#isGuest) return found;
    // Agents have lost an earlier server: they dial again, and should find somebody.
    for (const { id, state } of found)
      if (state === 'running' && this.#places.exists(id))
        await this.#sockets.open(id, this.#places.of(id).socket).catch(() => {});
    return found;
  }

  pause(id: string): Promise<void> {
    return this.#change(id, () => pause(this.#msb(), this.#places, id));
  }

  async stop(id: string): Promise<void> {
    this.#ended.add(id);
    await this.#change(id, () => stop(this.#msb(), this.#places, id));
    await this.#sockets.drop(id);
  }

  async resume(id: string, signal: AbortSignal): Promise<void> {
    const until = AbortSignal.any([signal, this.#closing.signal]);
    await this.#change(id, async () => {
      const [msb, places] = [this.#msb(), this.#places];
      const state = await stateNow(msb, places, id);
      if (state === null || !places.exists(id)) throw gone();
      await this.#sockets.open(id, places.of(id).socket).catch((error) => {
        throw unavailable(error);
      });
      if (state !== 'stopped') return thaw(msb, places, id);
      // It may have been paused when the host restarted.
      places.setMark(id, null);
      await msb.run(['start', places.name(id)], { doing: 'start the machine', signal: until });
      this.#ended.delete(id);
      await startAgent(msb, places, id, until);
    });
  }

  async snapshot(id: string, name: string, signal: AbortSignal): Promise<TakenSnapshot> {
    const until = AbortSignal.any([signal, this.#closing.signal]);
    return this.#change(id, () => takeSnapshot(this.#msb(), this.#places, id, name, until));
  }

  async fork(id: string, specs: MachineSpec[], signal: AbortSignal): Promise<(MachineError | null)[]> {
    for (const spec of specs) refuseImpossible(spec);
    const until = AbortSignal.any([signal, this.#closing.signal]);
    const start = (spec: MachineSpec, args: string[]) => this.#make(spec, args, until);
    return this.#change(id, () => forkMachine(this.#msb(), this.#places, id, specs, start));
  }

  snapshots(): Promise<FoundSnapshot[]> {
    return listSnapshots(this.#msb(), this.#places);
  }

  removeSnapshot(ref: string): Promise<void> {
    return removeSnapshot(this.#msb(), this.#places, ref);
  }

  async restrict(id: string, rules: EgressRules): Promise<void> {
    if (!this.#places.exists(id)) throw gone();
    // `msb modify` and `msb start` of all versions leave the network as it is.
    if (!isDeepStrictEqual(this.#places.facts(id)?.network, rules))
      throw new MachineError(
        'unsupported',
        'A microVM keeps the network rules that it was created with: create another sandbox',
      );
  }

  deaths(signal: AbortSignal): AsyncIterable<Death> {
    const until = AbortSignal.any([signal, this.#closing.signal]);
    const list = async () => (this.#places.ids().length === 0 ? [] : this.list());
    return watchDeaths(list, (id) => this.#ended.has(id), this.#bell, until);
  }

  async usage(id: string): Promise<Usage> {
    type Metrics = { vcpu_time_ns?: number; memory_bytes?: number; memory_host_resident_bytes?: number | null };
    const metrics = await this.#msb().json<Metrics>(['metrics', this.#places.name(id)], {
      doing: 'measure the machine',
    });
    return {
      cpuSeconds: (metrics.vcpu_time_ns ?? 0) / 1e9,
      memoryBytes: metrics.memory_bytes ?? 0,
      cacheBytes: 0,
    };
  }

  async image(reference: string): Promise<ImageInfo | null> {
    return findImage(this.#msb(), reference);
  }

  async pull(reference: string, onProgress: PullProgress, signal: AbortSignal): Promise<void> {
    const until = AbortSignal.any([signal, this.#closing.signal]);
    return pullImage(this.#msb(), reference, onProgress, until);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#sockets.closeAll();
  }

  async #create(spec: MachineSpec, signal: AbortSignal): Promise<void> {
    const [msb, places] = [this.#msb(), this.#places];
    refuseImpossible(spec);
    if (spec.isSnapshot) {
      mustBeOurs(places, spec.image);
      return this.#make(spec, restoreArguments(places, spec), signal);
    }
    makeDirectory(places.directory);
    await this.#make(spec, createArguments(places, spec), signal, () => startAgent(msb, places, spec.id, signal));
  }

  /** Starts a machine. Leaves nothing behind on failure. */
  async #make(spec: MachineSpec, args: string[], signal: AbortSignal, finish?: () => Promise<void>): Promise<void> {
    const [msb, places, { id }] = [this.#msb(), this.#places, spec];
    const cleanUp = () => remove(msb, places, id);
    const open = async () => {
      places.make(id, { allowsSudo: spec.allowsSudo, network: spec.network });
      await this.#sockets.open(id, places.of(id).socket);
    };
    this.#ended.delete(id);
    await this.#change(id, async () => {
      try {
        await open();
        await begin(msb, args, signal, async () => {
          await this.remove(id);
          await open();
        });
        await finish?.();
      } catch (error) {
        await this.#sockets.close(id);
        await cleanUp().catch(() => {
          // The error that is thrown says more. Listing machines finds what is left.
        });
        throw error instanceof MachineError ? error : unavailable(error);
      }
    });
  }

  /** Rejects with `gone` unless a machine runs. Starts its agent if that does not run. */
  async #mustRun(id: string, signal: AbortSignal): Promise<void> {
    if (this.#busy.has(id)) return void (await delay(50, undefined, { signal }).catch(() => {}));
    const state = await stateNow(this.#msb(), this.#places, id);
    if (state !== 'running') throw gone();
    if (!this.#busy.has(id)) await startAgent(this.#msb(), this.#places, id, signal);
  }

  async #change<T>(id: string, work: () => Promise<T>): Promise<T> {
    this.#busy.set(id, (this.#busy.get(id) ?? 0) + 1);
    try {
      return await work();
    } finally {
      const left = (this.#busy.get(id) ?? 1) - 1;
      if (left === 0) this.#busy.delete(id);
      else this.#busy.set(id, left);
    }
  }

  #msb(): Msb {
    if (this.#closing.signal.aborted) throw new MachineError('unavailable', 'the server is stopping');
    if (this.#found) return this.#found;
    const path = findMsb(this.#setting, this.#env);
    if (path === null) throw new MachineError('unavailable', missing(this.#setting));
    makeDirectory(this.#places.directory);
    this.#found = new Msb(path, this.#places.home(this.#env), this.#env);
    return this.#found;
  }
}

function missing(setting: string | undefined): string {
  return setting === undefined
    ? 'there is no msb in PATH: install microsandbox, or name its program with --msb'
    : `${setting} is no program`;
}

function gone(): MachineError {
  return new MachineError('gone', 'The machine does not exist or has stopped.');
}

function unavailable(cause: unknown): MachineError {
  return new MachineError('unavailable', `The socket of the machine can't be opened: ${(cause as Error).message}`, {
    cause,
  });
}
