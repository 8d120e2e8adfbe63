import type { Container } from 'dockerode';
import type { EngineEnvironment } from '../../config/engine-environment.ts';
import type { EngineInfo, FoundMachine, MachineSpec } from '../driver.ts';
import { MachineError } from '../error.ts';
import { createContainer } from './containers/create.ts';
import { listContainers } from './containers/list.ts';
import { findEngine } from './engine/discover.ts';
import { callEngine, deadlines, type Engine } from './engine/engine.ts';
import { instanceLabel, Names } from './labels.ts';
import { listOwnNetworks } from './network.ts';
import { Shared } from './shared.ts';

/** How many containers are remembered that we ended, so that their end is no death. */
const mostExpected = 10_000;

/** The engine of a driver, found when it is needed, and the containers that are known there. */
export class Connection {
  readonly names: Names;
  readonly #setting: string | undefined;
  readonly #hasRules: boolean;
  readonly #environment: EngineEnvironment;
  readonly #closing: AbortSignal;
  #shared: Promise<Shared> | null = null;
  /** The container of each machine, by the machine's id. */
  readonly #containers = new Map<string, string>();
  readonly #creating = new Map<string, Promise<void>>();
  readonly #expected = new Set<string>();

  constructor(
    { instance, engine, networkRules }: { instance: string; engine: string | undefined; networkRules: boolean },
    environment: EngineEnvironment,
    closing: AbortSignal,
  ) {
    this.names = new Names(instance);
    this.#setting = engine;
    this.#hasRules = networkRules;
    this.#environment = environment;
    this.#closing = closing;
  }

  /** Calls `work` with the engine. The call after one that it did not answer looks for it anew. */
  async use<T>(work: (shared: Shared) => Promise<T>): Promise<T> {
    if (this.#closing.aborted) throw new MachineError('unavailable', 'the server is stopping');
    this.#shared ??= this.#connect();
    const current = this.#shared;
    let shared: Shared | undefined;
    try {
      shared = await current;
      return await work(shared);
    } catch (error) {
      const isLost = shared === undefined || (error instanceof MachineError && error.code === 'unavailable');
      if (isLost && this.#shared === current) this.#shared = null;
      throw error;
    }
  }

  withEngine<T>(work: (engine: Engine) => Promise<T>): Promise<T> {
    return this.use(({ engine }) => work(engine));
  }

  /** Calls `work` with a machine's container. Rejects with `gone` if there is none. */
  withContainer<T>(id: string, work: (container: Container, shared: Shared) => Promise<T>): Promise<T> {
    return this.use(async (shared) => {
      const container = await this.find(shared, id);
      if (container === null) throw new MachineError('gone', 'the machine does not exist');
      return work(container, shared);
    });
  }

  async probe(): Promise<EngineInfo> {
    this.#shared = this.#connect();
    return this.use(async ({ engine }) => engine.info);
  }

  /** Creates a machine. Calls for the same one are one call. */
  create(spec: MachineSpec, signal: AbortSignal): Promise<void> {
    const creating =
      this.#creating.get(spec.id) ??
      this.use((shared) => createContainer(shared, spec, signal)).finally(() => this.#creating.delete(spec.id));
    this.#creating.set(spec.id, creating);
    return creating;
  }

  /** `mayTidy`: networks of machines that are gone may be removed. */
  async list({ mayTidy }: { mayTidy: boolean }): Promise<FoundMachine[]> {
    const found = await this.use(async (shared) => {
      const networks = shared.engine.isPodman && mayTidy ? await listOwnNetworks(shared.engine, this.names) : [];
      const containers = await listContainers(shared.engine, this.names);
      await this.#removeLeft(networks, new Set(containers.map(({ id }) => id)), shared);
      return containers;
    });
    this.#containers.clear();
    for (const { id, containerId } of found) this.#containers.set(id, containerId);
    return found.map(({ id, state }) => ({ id, state }));
  }

  /** Returns the container of a machine; null if there is none, or if it is not ours. */
  async find({ engine }: Shared, id: string): Promise<Container | null> {
    const known = this.#containers.get(id);
    if (known !== undefined) return engine.docker.getContainer(known);
    const named = engine.docker.getContainer(this.names.machine(id));
    try {
      const { Id, Config } = await callEngine('look for the machine', deadlines.read, (abortSignal) =>
        named.inspect({ abortSignal } as object),
      );
      if (Config.Labels[instanceLabel] !== this.names.instance) return null;
      this.#containers.set(id, Id);
      return engine.docker.getContainer(Id);
    } catch (error) {
      if ((error as MachineError).code === 'gone') return null;
      throw error;
    }
  }

  forget(id: string): void {
    this.#containers.delete(id);
  }

  /** Remembers that we end a container, so that its end is no death. */
  expectDeath(containerId: string): void {
    this.#expected.add(containerId);
    const [oldest] = this.#expected;
    if (this.#expected.size > mostExpected && oldest !== undefined) this.#expected.delete(oldest);
  }

  /** Forgets that: the container is to run again. */
  expectNoDeath(containerId: string): void {
    this.#expected.delete(containerId);
  }

  isExpected(containerId: string): boolean {
    return this.#expected.has(containerId);
  }

  /** Removes the networks of machines that are gone: a crash leaves them. */
  async #removeLeft(networks: string[], existing: Set<string>, shared: Shared): Promise<void> {
    for (const id of networks.filter((each) => !existing.has(each) && !this.#creating.has(each)))
      await shared.release(id).catch(() => {
        // The next listing tries again.
      });
  }

  /** An address that somebody named gets more time: there is no other to try. */
  async #connect(): Promise<Shared> {
    const isNamed = (this.#setting ?? this.#environment.dockerHost) !== undefined;
    const milliseconds = isNamed ? deadlines.connect : deadlines.probe;
    return new Shared(await findEngine(this.#setting, this.#environment, milliseconds), this.names, this.#hasRules);
  }
}
