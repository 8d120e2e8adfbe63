import type { Logger } from 'pino';
import type { EventFeed } from '../../../db/events/feed.ts';
import { endedMachines } from '../../../db/machines/rows.ts';
import type { Store } from '../../../db/store.ts';
import type { Connections } from '../connections.ts';
import type { Removals } from './removals.ts';

/** How often to look for sandboxes whose end has come: no event announces it. */
const pollMilliseconds = 1000;

/** The least time between two looks after changes, so that many don't cost one look each. */
const pauseMilliseconds = 25;

type Dependencies = {
  store: Store;
  now: () => number;
  log: Logger;
  feed: EventFeed;
  connections: Connections;
  removals: Removals;
};

/**
 * Cuts the connection to a machine as soon as its sandbox has ended, however it ended, and has the
 * machine removed. It asks the records, not the event log, so that nothing it missed is lost.
 * Returns a function that stops it.
 */
export function followEndings({ store, now, log, feed, connections, removals }: Dependencies): () => void {
  let isStopped = false;
  let isLooking = false;
  let mustLookAgain = false;
  const look = async () => {
    for (const id of await endedMachines(store.db, now())) {
      connections.close(id);
      removals.add(id);
    }
  };
  const wake = () => {
    mustLookAgain = true;
    if (isLooking || isStopped) return;
    isLooking = true;
    setImmediate(run);
  };
  const run = async () => {
    mustLookAgain = false;
    await look().catch((error) => isStopped || log.error({ err: error }, 'ended sandboxes could not be read'));
    setTimeout(() => {
      isLooking = false;
      if (mustLookAgain) wake();
    }, pauseMilliseconds).unref();
  };
  const unsubscribe = feed.subscribe(null, wake);
  const timer = setInterval(wake, pollMilliseconds).unref();
  wake();
  return () => {
    isStopped = true;
    unsubscribe();
    clearInterval(timer);
  };
}
