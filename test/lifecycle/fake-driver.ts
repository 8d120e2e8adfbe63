import type { Duplex } from 'node:stream';
import { frameTypes } from '../../app/machines/agent/frames.ts';
import type {
  Death,
  Driver,
  EngineInfo,
  Feature,
  FoundMachine,
  FoundSnapshot,
  ImageInfo,
  MachineSpec,
  MachineState,
  TakenSnapshot,
  Usage,
} from '../../app/machines/driver.ts';
import { MachineError } from '../../app/machines/error.ts';
import { FakeAgent, hello } from '../machines/agent/fake-agent.ts';

/** What a test replaces: a call that fails, hangs or waits. */
export type Behaviour = Partial<
  Omit<Driver, 'name' | 'features' | 'keepsMemory' | 'probe' | 'deaths' | 'usage' | 'pull'>
>;

/** A driver whose machines exist in memory only. A test says how its engine behaves. */
export class FakeDriver implements Driver {
  readonly name = 'process';
  readonly features: Set<Feature>;
  keepsMemory = false;
  /** What the next calls do instead of their work. `original` is reached through `work`. */
  behaviour: Behaviour = {};
  /** the machines that exist, and what they do */
  readonly machines = new Map<string, MachineState>();
  /** the snapshots that exist, by reference, with the machines that were made from them */
  readonly images = new Map<string, Set<string>>();
  readonly specs: MachineSpec[] = [];
  readonly agents = new Map<string, FakeAgent[]>();
  /** the names of the calls so far */
  readonly calls: string[] = [];
  #deaths: Death[] = [];
  #deathsError: Error | null = null;
  #wake = () => {};

  /** `features` are what its machines can do: everything, unless a test is about refusals. */
  constructor(features: Feature[] = ['pause', 'snapshot']) {
    this.features = new Set(features);
  }

  async probe(): Promise<EngineInfo> {
    return { name: 'Fake', version: '1', address: 'memory' };
  }

  async create(spec: MachineSpec, signal: AbortSignal): Promise<void> {
    this.calls.push('create');
    await (this.behaviour.create ?? this.work.create)(spec, signal);
  }

  async channel(id: string, signal: AbortSignal): Promise<Duplex> {
    this.calls.push('channel');
    return (this.behaviour.channel ?? this.work.channel)(id, signal);
  }

  async remove(id: string): Promise<void> {
    this.calls.push('remove');
    await (this.behaviour.remove ?? this.work.remove)(id);
  }

  async list(): Promise<FoundMachine[]> {
    this.calls.push('list');
    return (this.behaviour.list ?? this.work.list)();
  }

  async pause(id: string): Promise<void> {
    this.calls.push('pause');
    await (this.behaviour.pause ?? this.work.pause)(id);
  }

  async stop(id: string): Promise<void> {
    this.calls.push('stop');
    await (this.behaviour.stop ?? this.work.stop)(id);
  }

  async resume(id: string, signal: AbortSignal): Promise<void> {
    this.calls.push('resume');
    await (this.behaviour.resume ?? this.work.resume)(id, signal);
  }

  async snapshot(id: string, name: string, signal: AbortSignal): Promise<TakenSnapshot> {
    this.calls.push('snapshot');
    return (this.behaviour.snapshot ?? this.work.snapshot)(id, name, signal);
  }

  async fork(id: string, specs: MachineSpec[], signal: AbortSignal): Promise<(MachineError | null)[]> {
    this.calls.push('fork');
    return (this.behaviour.fork ?? this.work.fork)(id, specs, signal);
  }

  async snapshots(): Promise<FoundSnapshot[]> {
    this.calls.push('snapshots');
    return (this.behaviour.snapshots ?? this.work.snapshots)();
  }

  async removeSnapshot(ref: string): Promise<void> {
    this.calls.push('removeSnapshot');
    await (this.behaviour.removeSnapshot ?? this.work.removeSnapshot)(ref);
  }

  async image(reference: string): Promise<ImageInfo | null> {
    return (this.behaviour.image ?? this.work.image)(reference);
  }

  async close(): Promise<void> {
    await (this.behaviour.close ?? this.work.close)();
  }

  /** What the calls do unless a test says otherwise. */
  readonly work = {
    create: async (spec: MachineSpec): Promise<void> => {
      if (spec.isSnapshot && !this.images.has(spec.image)) throw new MachineError('no_image', 'There is no snapshot');
      this.specs.push(spec);
      this.images.get(spec.image)?.add(spec.id);
      this.machines.set(spec.id, 'running');
    },
    channel: async (id: string): Promise<Duplex> => {
      this.#need(id, ['running', 'paused']);
      const agent = new FakeAgent();
      agent.syncs = true;
      agent.send(0, frameTypes.hello, hello());
      this.agents.set(id, [...(this.agents.get(id) ?? []), agent]);
      return agent.channel;
    },
    remove: async (id: string): Promise<void> => {
      this.machines.delete(id);
      for (const users of this.images.values()) users.delete(id);
      for (const agent of this.agents.get(id) ?? []) agent.end();
    },
    list: async (): Promise<FoundMachine[]> => [...this.machines].map(([id, state]) => ({ id, state })),
    pause: async (id: string): Promise<void> => {
      this.#need(id, ['running', 'paused']);
      this.machines.set(id, 'paused');
    },
    stop: async (id: string): Promise<void> => {
      this.#need(id);
      this.machines.set(id, 'stopped');
      for (const agent of this.agents.get(id) ?? []) agent.end();
    },
    resume: async (id: string): Promise<void> => {
      this.#need(id);
      this.machines.set(id, 'running');
    },
    snapshot: async (id: string, name: string): Promise<TakenSnapshot> => {
      this.#need(id, ['running']);
      this.images.set(name, new Set());
      return { ref: name, sizeBytes: 1 };
    },
    fork: async (id: string, specs: MachineSpec[]): Promise<(MachineError | null)[]> => {
      this.#need(id, ['running']);
      for (const spec of specs) this.machines.set(spec.id, 'running');
      this.specs.push(...specs);
      return specs.map(() => null);
    },
    snapshots: async (): Promise<FoundSnapshot[]> =>
      [...this.images].map(([ref, users]) => ({ ref, isUsed: users.size > 0 })),
    removeSnapshot: async (ref: string): Promise<void> => {
      if (this.images.get(ref)?.size) throw new MachineError('failed', 'A machine uses the snapshot');
      this.images.delete(ref);
    },
    image: async (reference: string): Promise<ImageInfo | null> => ({ id: reference, sizeBytes: 1 }),
    close: async (): Promise<void> => {},
  };

  /** Rejects unless there is such a machine, in one of these states. */
  #need(id: string, states: MachineState[] = ['running', 'paused', 'stopped']): void {
    const state = this.machines.get(id);
    if (state === undefined || !states.includes(state)) throw new MachineError('gone', 'There is no such machine');
  }

  /** Lets a machine end by itself. `isSeen` false: the engine reports no event. */
  die(id: string, reason: Death['reason'] = 'exited', isSeen = true): void {
    this.machines.set(id, 'stopped');
    for (const agent of this.agents.get(id) ?? []) agent.end();
    if (isSeen) this.#deaths.push({ id, reason });
    this.#wake();
  }

  /** Lets the engine's events fail from now on; null: no longer. */
  failDeaths(error: Error | null): void {
    this.#deathsError = error;
    this.#wake();
  }

  async *deaths(signal: AbortSignal): AsyncGenerator<Death> {
    while (!signal.aborted) {
      if (this.#deathsError) throw this.#deathsError;
      yield* this.#deaths.splice(0);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  async usage(): Promise<Usage> {
    return { cpuSeconds: 0, memoryBytes: 0, cacheBytes: 0 };
  }

  async pull(): Promise<void> {
    throw new MachineError('no_image', 'There is no registry');
  }
}

/** A promise that never settles: an engine that hangs. */
export const forever = () => new Promise<never>(() => {});
