import type { Logger } from 'pino';
import type { Store } from '../../../db/store.ts';
import type { Connections } from '../connections.ts';
import type { Driver } from '../driver.ts';
import { MachineError } from '../error.ts';
import type { Starts } from '../launch/starts.ts';
import { untilAborted } from '../until-aborted.ts';
import type { VerbMetrics } from './timed.ts';
import type { Verbs } from './verbs.ts';

/** What pausing and resuming machines needs. */
export type LifecycleParts = {
  store: Store;
  now: () => number;
  log: Logger;
  /** Null: nobody counts. */
  metrics: VerbMetrics | null;
  driver: Driver;
  connections: Connections;
  verbs: Verbs;
  starts: Starts;
  /** Makes a machine follow the record of its sandbox, in the background. */
  follow: (id: string) => void;
  /** how long a paused machine keeps its memory, in milliseconds */
  pausedMemory: number;
  /** how long the engine may take for a change, and the agent to start again */
  patienceMilliseconds: number;
};

/** How long a change may wait for those before it. */
const waitMilliseconds = 60_000;

/**
 * Checks whether a machine may be changed, and changes it after the changes that were asked for
 * before. A change that fails may leave the machine in between: it then follows its record. Throws
 * what `check` and `change` throw, and MachineError `timeout` if its turn does not come.
 */
export async function changeMachine<Checked, T>(
  { verbs, follow }: Pick<LifecycleParts, 'verbs' | 'follow'>,
  id: string,
  check: () => Promise<Checked>,
  change: (checked: Checked) => Promise<T>,
  milliseconds = waitMilliseconds,
): Promise<T> {
  // What is refused now does not wait.
  await check();
  const waiting = AbortSignal.timeout(milliseconds);
  const turn = Promise.withResolvers<void>();
  let hasBegun = false;
  const changing = verbs.run(id, async () => {
    waiting.throwIfAborted();
    turn.resolve();
    const checked = await check();
    hasBegun = true;
    return change(checked);
  });
  try {
    await Promise.race([changing, engineCall(turn.promise, waiting)]);
    return await changing;
  } catch (error) {
    // Unless it waits still: then it does nothing any more.
    changing.catch(() => {});
    if (hasBegun) follow(id);
    throw error;
  }
}

/**
 * Waits for a call of the engine. Throws MachineError: `timeout` past the signal, `failed` for a
 * machine that is gone.
 */
export async function engineCall<T>(call: Promise<T>, late: AbortSignal): Promise<T> {
  return untilAborted(call, late).catch((error) => {
    if (late.aborted) throw new MachineError('timeout', tooSlow, { cause: error });
    if (!(error instanceof MachineError) || error.code !== 'gone') throw error;
    throw new MachineError('failed', 'The machine of the sandbox has stopped', { cause: error });
  });
}

const tooSlow = 'The machine of the sandbox did not answer in time: try again later';
