import type { Duplex } from 'node:stream';
import { frameTypes } from '../../app/machines/agent/frames.ts';
import type {
  Death,
  Driver,
  EngineInfo,
  FoundMachine,
  ImageInfo,
  MachineSpec,
  Usage,
} from '../../app/machines/driver.ts';
import { MachineError } from '../../app/machines/error.ts';
import { notYet } from '../../app/machines/not-yet.ts';
import { FakeAgent, hello } from '../machines/agent/fake-agent.ts';

/** What a test replaces: a call that fails, hangs or waits. */
export type Behaviour = Partial<Pick<Driver, 'create' | 'channel' | 'remove' | 'list' | 'image' | 'close'>>;

/** A driver whose machines exist in memory only. A test says how its engine behaves. */
export class FakeDriver implements Driver {
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
  /** What the next calls do instead of their work. `original` is reached through `work`. */
  behaviour: Behaviour = {};
  /** the machines that exist, and whether they run */
  readonly machines = new Map<string, boolean>();
  readonly specs: MachineSpec[] = [];
  readonly agents = new Map<string, FakeAgent[]>();
  /** the names of the calls so far */
  readonly calls: string[] = [];
  #deaths: Death[] = [];
  #deathsError: Error | null = null;
  #wake = () => {};

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

  async image(reference: string): Promise<ImageInfo | null> {
    return (this.behaviour.image ?? this.work.image)(reference);
  }

  async close(): Promise<void> {
    await (this.behaviour.close ?? this.work.close)();
  }

  /** What the calls do unless a test says otherwise. */
  readonly work = {
    create: async (spec: MachineSpec) => {
      this.specs.push(spec);
      this.machines.set(spec.id, true);
    },
    channel: async (id: string) => {
      if (!this.machines.get(id)) throw new MachineError('gone', 'There is no such machine');
      const agent = new FakeAgent();
      agent.send(0, frameTypes.hello, hello());
      this.agents.set(id, [...(this.agents.get(id) ?? []), agent]);
      return agent.channel;
    },
    remove: async (id: string) => {
      this.machines.delete(id);
      for (const agent of this.agents.get(id) ?? []) agent.end();
    },
    list: async () =>
      [...this.machines].map(([id, isRunning]): FoundMachine => ({ id, state: isRunning ? 'running' : 'stopped' })),
    image: async (reference: string) => ({ id: reference, sizeBytes: 1 }),
    close: async () => {},
  };

  /** Lets a machine end by itself. `isSeen` false: the engine reports no event. */
  die(id: string, reason: Death['reason'] = 'exited', isSeen = true): void {
    this.machines.set(id, false);
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
