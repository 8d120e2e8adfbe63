import type { Database } from 'better-sqlite3';
import type { Owners } from '../store.ts';

/** How often to check whether another process, such as a command, has written to the database. */
const pollMilliseconds = 1000;

/**
 * Calls the listener when the event log may have grown: after each commit of this process that
 * recorded events, and within a second after any commit of another process. Returns a function that
 * stops this.
 */
export function watchEvents(
  sqlite: Database,
  onCommit: (listener: () => void) => () => void,
  listener: (owners: Owners) => void,
): () => void {
  const ownersOfNew = ownersOfNewEvents(sqlite);
  const hasOtherCommits = changed(() => sqlite.pragma('data_version', { simple: true }));
  // Within the commit: no later transaction that might still roll back has begun on this
  // connection.
  const stopListening = onCommit(() => listener(ownersOfNew()));
  const timer = setInterval(() => {
    if (hasOtherCommits()) listener(null);
  }, pollMilliseconds);
  timer.unref();
  return () => {
    stopListening();
    clearInterval(timer);
  };
}

/** Returns a function that returns the owners of the events recorded since its last call. */
function ownersOfNewEvents(sqlite: Database): () => Owners {
  const selectEnd = sqlite.prepare<[], number>("select seq from sqlite_sequence where name = 'events'").pluck();
  const selectOwners = sqlite.prepare<[number], number>('select distinct owner_id from events where seq > ?').pluck();
  let end = Number.NaN;
  const ownersOfNew = () => {
    const before = end;
    try {
      end = selectEnd.get() ?? 0;
      if (end === before) return new Set<number>();
      // The sequence goes back only when everything was deleted.
      return end > before ? new Set(selectOwners.all(before)) : null;
    } catch {
      end = Number.NaN;
      return null;
    }
  };
  ownersOfNew();
  return ownersOfNew;
}

/**
 * Returns a function that reports whether `ask`'s result changed since the last call; true if
 * `ask` fails.
 */
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
