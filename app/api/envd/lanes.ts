type Waiting = { sandboxId: string; begin: () => void };

/**
 * Bounds tasks that hold much memory: one of a sandbox at a time, and few in all. The others wait
 * in the order in which they came.
 */
export class Lanes {
  readonly #most: number;
  readonly #running = new Set<string>();
  #waiting: Waiting[] = [];

  /** `most` is how many tasks may run at the same time. */
  constructor(most: number) {
    this.#most = most;
  }

  async run<T>(sandboxId: string, task: () => Promise<T>): Promise<T> {
    await new Promise<void>((begin) => {
      this.#waiting.push({ sandboxId, begin });
      this.#beginNext();
    });
    try {
      return await task();
    } finally {
      this.#running.delete(sandboxId);
      this.#beginNext();
    }
  }

  #beginNext(): void {
    if (this.#running.size >= this.#most) return;
    const at = this.#waiting.findIndex(({ sandboxId }) => !this.#running.has(sandboxId));
    const [next] = at < 0 ? [] : this.#waiting.splice(at, 1);
    if (!next) return;
    this.#running.add(next.sandboxId);
    next.begin();
  }
}
