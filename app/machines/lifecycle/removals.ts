import type { Logger } from 'pino';
import { deleteMachine } from '../../../db/machines/rows.ts';
import type { Store } from '../../../db/store.ts';
import type { Driver } from '../driver.ts';

/** How many machines are being removed at the same time. */
const maxAtOnce = 4;

/** How long to wait before a removal is tried again: twice as long each time, up to a limit. */
const firstRetryMilliseconds = 200;
const lastRetryMilliseconds = 30_000;

type Dependencies = {
  store: Store;
  driver: Driver;
  log: Logger;
  /** Called after a machine was removed. */
  onRemoved?: () => void;
};

/**
 * Removes machines in the background, and their rows after them. It tries again until it succeeds:
 * a machine that outlives its sandbox costs memory.
 */
export class Removals {
  readonly #dependencies: Dependencies;
  /** Machines to remove, with the number of failed attempts, in the order in which they came. */
  readonly #waiting = new Map<string, number>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #retries = new Map<string, NodeJS.Timeout>();
  #isStopped = false;

  constructor(dependencies: Dependencies) {
    this.#dependencies = dependencies;
  }

  /** Removes a machine unless that is under way. */
  add(id: string, failures = 0): void {
    if (this.#isStopped || this.has(id)) return;
    this.#waiting.set(id, failures);
    this.#startNext();
  }

  /** Returns whether a machine is to be removed, or is being removed. */
  has(id: string): boolean {
    return this.#waiting.has(id) || this.#running.has(id) || this.#retries.has(id);
  }

  /** Starts no more removals and waits for those that run. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#waiting.clear();
    for (const timer of this.#retries.values()) clearTimeout(timer);
    this.#retries.clear();
    await Promise.all(this.#running.values());
  }

  #startNext(): void {
    for (const [id, failures] of this.#waiting) {
      if (this.#running.size >= maxAtOnce) return;
      this.#waiting.delete(id);
      const done = this.#remove(id, failures).finally(() => {
        this.#running.delete(id);
        this.#startNext();
      });
      this.#running.set(id, done);
    }
  }

  async #remove(id: string, failures: number): Promise<void> {
    const { store, driver, log, onRemoved } = this.#dependencies;
    try {
      await driver.remove(id);
      onRemoved?.();
      if (!this.#isStopped) await deleteMachine(store.db, id);
    } catch (error) {
      if (this.#isStopped) return;
      // Once: the engine may be away for hours.
      if (failures === 0) log.warn({ err: error, sandbox: id }, 'a machine could not be removed: trying again');
      const delay = Math.min(firstRetryMilliseconds * 2 ** failures, lastRetryMilliseconds);
      this.#retries.set(id, setTimeout(() => this.#retry(id, failures + 1), delay).unref());
    }
  }

  #retry(id: string, failures: number): void {
    this.#retries.delete(id);
    this.add(id, failures);
  }
}
