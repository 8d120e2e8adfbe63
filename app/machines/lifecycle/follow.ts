import type { Logger } from 'pino';
import type { EventFeed } from '../../../db/events/feed.ts';
import { machinesToFollow } from '../../../db/machines/rows.ts';
import type { Store } from '../../../db/store.ts';
import type { Connections } from '../connections.ts';
import type { Driver } from '../driver.ts';
import type { LifecycleParts } from './parts.ts';
import type { Removals } from './removals.ts';

/** How often to look for sandboxes whose end has come: no event announces it. */
const pollMilliseconds = 1000;

/** The least time between two looks after changes, so that many don't cost one look each. */
const pauseMilliseconds = 25;

type Dependencies = Pick<LifecycleParts, 'verbs' | 'follow' | 'pausedMemory'> & {
  store: Store;
  now: () => number;
  log: Logger;
  feed: EventFeed;
  driver: Pick<Driver, 'name' | 'features'>;
  connections: Connections;
  removals: Removals;
};

/**
 * Makes machines follow the records of their sandboxes, whatever changed them. As soon as a sandbox
 * has ended, its machine's connection is cut and the machine removed; the machine of one that is
 * paused is paused, and stopped when it has kept its memory long enough. It asks the records, not
 * the event log, so that nothing it missed is lost. Returns a function that stops it.
 */
export function followRecords(dependencies: Dependencies): () => void {
  const { log, feed } = dependencies;
  let isStopped = false;
  let isLooking = false;
  let mustLookAgain = false;
  const wake = () => {
    mustLookAgain = true;
    if (isLooking || isStopped) return;
    isLooking = true;
    setImmediate(run);
  };
  const run = async () => {
    mustLookAgain = false;
    await look(dependencies).catch(
      (error) => isStopped || log.error({ err: error }, 'ended and paused sandboxes could not be read'),
    );
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

async function look({ store, now, driver, connections, removals, verbs, follow, pausedMemory }: Dependencies) {
  const canPause = driver.features.has('pause');
  for (const { id, status } of await machinesToFollow(store.db, now(), driver.name, now() - pausedMemory)) {
    if (status === 'paused' && canPause) {
      if (!verbs.isBusy(id)) follow(id);
      continue;
    }
    connections.close(id);
    removals.add(id);
  }
}
