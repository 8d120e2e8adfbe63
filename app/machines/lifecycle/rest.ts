import { AgentError } from '../agent/error.ts';
import { syncFiles } from '../agent/files.ts';
import { MachineError } from '../error.ts';
import { engineCall, type LifecycleParts } from './parts.ts';
import { timed } from './timed.ts';

/** How long an agent may take to write files before a pause that does not depend on it. */
const briefMilliseconds = 1000;

export type Rest = 'paused' | 'stopped';

type Parts = Pick<LifecycleParts, 'driver' | 'connections' | 'log' | 'patienceMilliseconds'>;
type RestParts = Pick<LifecycleParts, 'driver' | 'verbs' | 'follow' | 'metrics' | 'patienceMilliseconds'>;

/** Pauses or stops a machine. Throws MachineError. */
export async function putToRest(parts: RestParts, id: string, rest: Rest): Promise<void> {
  const { driver, metrics, patienceMilliseconds } = parts;
  const late = AbortSignal.timeout(patienceMilliseconds);
  await (rest === 'paused'
    ? timed(metrics, 'pause', () => engineCall(driver.pause(id), late))
    : timed(metrics, 'stop', () => stop(parts, id, late)));
}

/**
 * Stops a machine. One that has not stopped at the deadline counts as being changed until the
 * engine has answered: it may stop at any time, which is no death, and follows its record only
 * then.
 */
async function stop({ driver, verbs, follow }: RestParts, id: string, late: AbortSignal): Promise<void> {
  const stopping = driver.stop(id);
  await engineCall(stopping, late).catch((error) => {
    if (late.aborted) {
      const ended = verbs.run(id, () => stopping).catch(() => {});
      void ended.then(() => follow(id));
    }
    throw error;
  });
}

/** Waits until a running machine's files are on its disk. Throws MachineError. */
export async function sync(
  { connections, patienceMilliseconds }: Parts,
  id: string,
  milliseconds = patienceMilliseconds,
): Promise<void> {
  const late = AbortSignal.timeout(milliseconds);
  const synced = connections.connect(id, late).then((agent) => syncFiles(agent, late));
  await engineCall(synced, late).catch((error) => {
    if (!(error instanceof AgentError)) throw error;
    throw new MachineError('failed', 'The files of the sandbox could not be written to its disk', { cause: error });
  });
}

/** Does what `sync` does, if that helps before a rest and the agent answers soon. */
export async function trySync(parts: Parts, id: string, rest: Rest): Promise<void> {
  // A virtual machine's memory holds what is not yet on its disk; a container's does not.
  if (rest === 'paused' && !parts.driver.keepsMemory) return;
  await sync(parts, id, briefMilliseconds).catch((error) =>
    parts.log.warn({ err: error, sandbox: id }, 'the files of a machine could not be synced before its pause'),
  );
}
