import type { Death } from '../driver.ts';

/** How often machines of an earlier server are looked at. */
const watchMilliseconds = 250;

/** Notices machines that die. */
export class Deaths {
  readonly #deadMachines: () => string[];
  readonly #closing = new AbortController();
  readonly #watchers = new Set<() => void>();

  /** `deadMachines` returns the machines that stopped without being told to. */
  constructor(deadMachines: () => string[]) {
    this.#deadMachines = deadMachines;
  }

  /** Yields machines that die from now on, until the signal. */
  async *follow(signal: AbortSignal): AsyncGenerator<Death> {
    const ended = AbortSignal.any([signal, this.#closing.signal]);
    let dead = new Set(this.#deadMachines());
    while (!ended.aborted) {
      await this.#change(ended);
      const now = this.#deadMachines();
      for (const id of now) if (!dead.has(id)) yield { id, reason: 'exited' };
      dead = new Set(now);
    }
  }

  /** Looks at once. Called when a machine of this server ends. */
  wake(): void {
    for (const wake of this.#watchers) wake();
  }

  close(): void {
    this.#closing.abort();
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
}
