import type { Store } from '../sqlite/open.ts';

/** How often to look whether another process, a command say, has written something. */
const pollMilliseconds = 1000;

/** Whose events there may be more of; null: anybody's. */
type Owners = ReadonlySet<number> | null;

/**
 * Wakes those who read the event log when there may be more of it for them: after each commit of this process that added
 * something of theirs, and within a second of any other process's. It tells nobody what there is: each reads on from
 * where it is.
 */
export class EventFeed {
  readonly #store: Pick<Store, 'sqlite' | 'onCommit'>;
  /** With the owner whose events they read, null being everybody's. */
  readonly #subscribers = new Map<() => void, number | null>();
  #stopListening: (() => void) | undefined;
  #isClosed = false;

  constructor(store: Pick<Store, 'sqlite' | 'onCommit'>) {
    this.#store = store;
  }

  /** Has `wake` called for an owner's events, or everybody's, and once when the feed is closed. Returns how to end that. */
  subscribe(ownerId: number | null, wake: () => void): () => void {
    this.#subscribers.set(wake, ownerId);
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
    this.#wake(null);
  }

  #listen(): () => void {
    const { sqlite, onCommit } = this.#store;
    const newOwners = ownersOfNew(sqlite);
    const hasOthers = changed(() => sqlite.pragma('data_version', { simple: true }));
    // Within the commit: no other transaction of this connection has begun that may yet be undone.
    const stopListening = onCommit(() => this.#wake(newOwners()));
    const timer = setInterval(() => {
      if (hasOthers()) this.#wake(null);
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

  #wake(owners: Owners): void {
    for (const [wake, ownerId] of [...this.#subscribers]) {
      if (owners === null || (ownerId === null ? owners.size > 0 : owners.has(ownerId))) wake();
    }
  }
}

/** Returns a function that returns whose events the log has got since it was asked the last time; null where it can't tell. */
function ownersOfNew(sqlite: Store['sqlite']): () => Owners {
  const selectEnd = sqlite.prepare<[], number>("select seq from sqlite_sequence where name = 'events'").pluck();
  const selectOwners = sqlite.prepare<[number], number>('select distinct owner_id from events where seq > ?').pluck();
  let end = Number.NaN;
  const newOwners = () => {
    const before = end;
    try {
      end = selectEnd.get() ?? 0;
      if (end === before) return new Set<number>();
      // Where it has shrunk everything was deleted.
      return end > before ? new Set(selectOwners.all(before)) : null;
    } catch {
      end = Number.NaN;
      return null;
    }
  };
  newOwners();
  return newOwners;
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
