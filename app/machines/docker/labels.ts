/**
 * Labels of all that we make in an engine. Another Sandpit on the same engine has another instance.
 */
export const instanceLabel = 'dev.sandpit.instance';
export const sandboxLabel = 'dev.sandpit.sandbox';
/**
 * The label of images that we keep, with the instance. Containers that are made from them inherit
 * it, which is why it is not `instanceLabel`.
 */
export const snapshotLabel = 'dev.sandpit.snapshot';

/** Names what one database has in an engine. */
export class Names {
  readonly instance: string;
  readonly #prefix: string;

  constructor(instance: string) {
    this.instance = instance;
    this.#prefix = `sandpit-${instance.slice(0, 8)}`;
  }

  get labels(): Record<string, string> {
    return { [instanceLabel]: this.instance };
  }

  /** The filter that finds only what is ours. */
  get filters(): { label: string[] } {
    return { label: [`${instanceLabel}=${this.instance}`] };
  }

  get network(): string {
    return this.#prefix;
  }

  /** The container that fills the agent's volume, and does not run. No machine has this name. */
  get filler(): string {
    return `${this.#prefix}.agent`;
  }

  /** The volume with the agent whose program has this hash. */
  volume(hash: string): string {
    return `${this.#prefix}-agent-${hash.slice(0, 12)}`;
  }

  /** The repository of images that are snapshots. Each has the snapshot's name as its tag. */
  get snapshots(): string {
    return `localhost/${this.#prefix}`;
  }

  machine(id: string): string {
    return `${this.#prefix}-${id}`;
  }
}
