import type { EventFeed } from '../../../db/events/feed.ts';
import type { Config } from '../../config/settings.ts';
import { followRecords } from './follow.ts';
import { followRecord } from './follow-record.ts';
import type { LifecycleParts } from './parts.ts';
import type { Removals } from './removals.ts';
import { Repeated } from './repeated.ts';

/** How long the engine may take to pause, stop or resume a machine, and its agent to start. */
const patienceMilliseconds = 30_000;

/** How long a paused machine keeps its memory unless the settings say otherwise. */
const dayMilliseconds = 86_400_000;

type Given = Omit<LifecycleParts, 'follow' | 'pausedMemory' | 'patienceMilliseconds'> & {
  config: Pick<Config, 'pausedMemory'>;
  feed: EventFeed;
  removals: Removals;
};

/** Starts to let machines follow records. Returns what pausing and resuming them needs. */
export function startLifecycle(given: Given): {
  parts: LifecycleParts;
  /** Looks no more for what to follow. */
  stopLooking: () => void;
  followers: Repeated;
} {
  const { config, log } = given;
  const followers = new Repeated({
    work: (id) => followRecord(parts, id),
    failure: 'a machine does not follow its sandbox: trying again',
    log,
  });
  const parts: LifecycleParts = {
    ...given,
    follow: (id) => followers.add(id),
    pausedMemory: config.pausedMemory ?? dayMilliseconds,
    patienceMilliseconds,
  };
  return { parts, stopLooking: followRecords({ ...given, ...parts }), followers };
}
