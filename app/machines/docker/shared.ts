import type { MachineSpec } from '../driver.ts';
import { describeEngine, type Engine } from './engine/engine.ts';
import type { Names } from './labels.ts';
import { provideOwnNetwork, provideSharedNetwork, removeOwnNetwork } from './network.ts';
import { provideProgram } from './program.ts';

/** What machines of an engine share. Each is made when the first machine needs it. */
export class Shared {
  readonly engine: Engine;
  readonly names: Names;
  /** Whether agents enforce network rules in machines. */
  readonly hasRules: boolean;
  #volume: Promise<string> | null = null;
  #network: Promise<string> | null = null;
  #processors: Promise<number> | null = null;

  constructor(engine: Engine, names: Names, hasRules = true) {
    this.hasRules = hasRules;
    this.engine = engine;
    this.names = names;
  }

  /** Returns the name of the volume with the agent. `image` is any image that the engine has. */
  volume(image: string): Promise<string> {
    this.#volume ??= provideProgram(this.engine, this.names, image).catch((error) => {
      this.#volume = null;
      throw error;
    });
    return this.#volume;
  }

  /**
   * Returns the name of the network for a machine. Its rules decide what it reaches, so that they
   * can be changed; without rules it may only have no network at all.
   */
  networkOf({ id, network }: MachineSpec): Promise<string> {
    return this.hasRules || network.internet ? this.network(id) : Promise.resolve('none');
  }

  /** Returns the name of the network for a machine with this id. */
  network(id: string): Promise<string> {
    if (this.engine.isPodman) return provideOwnNetwork(this.engine, this.names, id);
    this.#network ??= provideSharedNetwork(this.engine, this.names).catch((error) => {
      this.#network = null;
      throw error;
    });
    return this.#network;
  }

  /** Removes what only a machine that is gone needed. */
  async release(id: string): Promise<void> {
    if (this.engine.isPodman) await removeOwnNetwork(this.engine, this.names, id);
  }

  /** Returns how many processors the engine's host has. */
  processors(): Promise<number> {
    this.#processors ??= describeEngine(this.engine)
      .then(({ NCPU }) => NCPU)
      .catch((error) => {
        this.#processors = null;
        throw error;
      });
    return this.#processors;
  }

  /**
   * Makes volume and network anew when the next machine needs them: somebody may have removed them.
   */
  forget(): void {
    this.#volume = null;
    this.#network = null;
  }
}
