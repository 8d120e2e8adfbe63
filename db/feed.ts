import type { Store } from './open.ts';

/** How often to look whether another process, a command say, has written something. */
const pollMilliseconds = 1000;

/**
 * Wakes those who read the event log when there may be more of it: after each commit of this process that added to it,
 * and within a second of any other process's. It tells nobody what there is: each reads on from where it is.
 */
export class EventFeed {
  readonly #store: Pick<Store, 'sqlite' | 'onCommit'>;
  readonly #subscribers = new Set<() => void>();
  #stopListening: (() => void) | undefined;
  #isClosed = false;

  constructor(store: Pick<Store, 'sqlite' | 'onCommit'>) {
    this.#store = store;
  }

  /** Has `wake` called from now on, and once when the feed is closed. Returns how to end that. */
  subscribe(wake: () => void): () => void {
    this.#subscribers.add(wake);
    this.#stopListening ??= this.#listen();
    return () => {
      this.#subscribers.delete(wake);
      if (this.#subscribers.size === 0) this.#stop();
    };
  }

  /** Says whether there will be nothing more: the server stops. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    this.#isClosed = true;
    this.#stop();
    this.#wakeAll();
  }

  #listen(): () => void {
    const { sqlite, onCommit } = this.#store;
    const end = sqlite.prepare("select seq from sqlite_sequence where name = 'events'").pluck();
    const hasGrown = changed(() => end.get());
    const hasOthers = changed(() => sqlite.pragma('data_version', { simple: true }));
    // Within the commit: no other transaction of this connection has begun that may yet be undone.
    const stopListening = onCommit(() => {
      if (hasGrown()) this.#wakeAll();
    });
    const timer = setInterval(() => {
      if (hasOthers()) this.#wakeAll();
    }, pollMilliseconds);
    timer.unref();
    return () => {
      stopListening();
      clearInterval(timer);
    };
  }

  #stop(): void {
    this.#stopListening?.();
    this.#stopListening = undefined;
  }

  #wakeAll(): void {
    for (const wake of [...this.#subscribers]) wake();
  }
}

/** Returns a function that says whether what `ask` returns is not what it was the last time; where it fails, that it is. */
function changed(ask: () => unknown): () => boolean {
  let last: unknown = Symbol('failed');
  const hasChanged = () => {
    const before = last;
    try {
      last = ask();
    } catch {
      last = Symbol('failed');
    }
    return last !== before;
  };
  hasChanged();
  return hasChanged;
}
