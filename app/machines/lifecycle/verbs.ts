/** Changes of machines, e.g. pause and snapshot: those of one machine run one after another. */
export class Verbs {
  /** The last change of each machine that has not ended. */
  readonly #last = new Map<string, Promise<unknown>>();
  #changed = new Set<string>();

  /** Returns whether a machine is being changed. */
  isBusy(id: string): boolean {
    return this.#last.has(id);
  }

  /** Begins to note which machines are changed, and forgets what was noted before. */
  noteChanges(): void {
    this.#changed = new Set(this.#last.keys());
  }

  /** Returns whether a machine was changed at any time since `noteChanges`. */
  hasChanged(id: string): boolean {
    return this.#changed.has(id);
  }

  /** Runs `work` after the changes of this machine that were asked for before. */
  async run<T>(id: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(id);
    const done = (async () => {
      await before?.catch(() => {});
      return work();
    })();
    this.#last.set(id, done);
    this.#changed.add(id);
    try {
      return await done;
    } finally {
      if (this.#last.get(id) === done) this.#last.delete(id);
    }
  }
}
