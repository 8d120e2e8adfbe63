import type { Owners, Store } from '../store.ts';

/**
 * Wakes readers of the event log when it may have grown. It doesn't pass on events: each reader
 * continues from the last one that it has read.
 */
export class EventFeed {
  readonly #store: Pick<Store, 'watchEvents'>;
  /** Each reader's callback with the owner whose events it reads; null reads everyone's. */
  readonly #subscribers = new Map<() => void, number | null>();
  #stopWatching: (() => void) | undefined;
  #isClosed = false;

  constructor(store: Pick<Store, 'watchEvents'>) {
    this.#store = store;
  }

  /**
   * Calls `wake` when an owner (null: any owner) may have new events, and once when the feed
   * closes. Returns a function that unsubscribes.
   */
  subscribe(ownerId: number | null, wake: () => void): () => void {
    this.#subscribers.set(wake, ownerId);
    this.#stopWatching ??= this.#store.watchEvents((owners) => this.#wake(owners));
    return () => {
      this.#subscribers.delete(wake);
      if (this.#subscribers.size === 0) this.#stop();
    };
  }

  /** Whether the feed was closed: the server is stopping. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    this.#isClosed = true;
    this.#stop();
    this.#wake(null);
  }

  #stop(): void {
    this.#stopWatching?.();
    this.#stopWatching = undefined;
  }

  #wake(owners: Owners): void {
    for (const [wake, ownerId] of [...this.#subscribers]) {
      if (owners === null || (ownerId === null ? owners.size > 0 : owners.has(ownerId))) wake();
    }
  }
}
