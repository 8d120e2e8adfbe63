import type { Logger } from 'pino';

/** How many machines are worked on at the same time. */
const maxAtOnce = 4;

/** How long to wait before work is tried again: twice as long each time, up to a limit. */
const firstRetryMilliseconds = 200;
const lastRetryMilliseconds = 30_000;

type Parts = {
  /** Does the work for one machine. Rejects if it has to be tried again. */
  work: (id: string) => Promise<void>;
  /** what is logged when the work has failed the first time */
  failure: string;
  log: Logger;
};

/** Work on machines in the background, for each machine tried again until it succeeds. */
export class Repeated {
  readonly #parts: Parts;
  /** Machines to work on, with the number of failed attempts, in the order in which they came. */
  readonly #waiting = new Map<string, number>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #retries = new Map<string, NodeJS.Timeout>();
  #isStopped = false;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Whether `stop` was called. */
  get isStopped(): boolean {
    return this.#isStopped;
  }

  /** Works on a machine unless that is under way. */
  add(id: string, failures = 0): void {
    if (this.#isStopped || this.has(id)) return;
    this.#waiting.set(id, failures);
    this.#startNext();
  }

  /** Returns whether a machine waits for the work, or is being worked on. */
  has(id: string): boolean {
    return this.#waiting.has(id) || this.#running.has(id) || this.#retries.has(id);
  }

  /** Starts no more work and waits for what runs. */
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
      const done = this.#run(id, failures).finally(() => {
        this.#running.delete(id);
        this.#startNext();
      });
      this.#running.set(id, done);
    }
  }

  async #run(id: string, failures: number): Promise<void> {
    const { work, failure, log } = this.#parts;
    try {
      await work(id);
    } catch (error) {
      if (this.#isStopped) return;
      // Once: the engine may be away for hours.
      if (failures === 0) log.warn({ err: error, sandbox: id }, failure);
      const delay = Math.min(firstRetryMilliseconds * 2 ** failures, lastRetryMilliseconds);
      this.#retries.set(id, setTimeout(() => this.#retry(id, failures + 1), delay).unref());
    }
  }

  #retry(id: string, failures: number): void {
    this.#retries.delete(id);
    this.add(id, failures);
  }
}
