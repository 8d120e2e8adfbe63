import { setTimeout as delay } from 'node:timers/promises';
import { MachineError } from '../error.ts';
import { findAgent, type Place } from './folder.ts';
import { descendantsOf, hasVariable, type ProcessStat, readStat, readStats } from './proc.ts';

/** The variable in whose value a machine's programs carry its folder. */
export const marker = 'SANDPIT_MACHINE';

const patienceMilliseconds = 5_000;
const retryMilliseconds = 5;

/**
 * Ends all processes of a machine. Finds them as the agent's descendants, and by the marker if the
 * agent has ended before. Throws MachineError `timeout` if a process does not end.
 */
export async function endMachine(place: Place): Promise<void> {
  const end = performance.now() + patienceMilliseconds;
  for (;;) {
    const agent = findAgent(place);
    const stats = readStats();
    const programs = new Set([
      ...(agent === null ? [] : descendantsOf(agent.pid, stats)),
      ...stats.filter(({ pid }) => pid !== agent?.pid && hasVariable(pid, marker, place.folder)),
    ]);
    // The agent goes last, because its descendants can't be found without it.
    const all = [...programs];
    if (programs.size === 0 && agent !== null) all.push(agent);
    if (all.length === 0) return;
    all.forEach(kill);
    do {
      if (performance.now() > end) throw new MachineError('timeout', 'A process of the machine does not end.');
      await delay(retryMilliseconds);
    } while (all.some(isAlive));
  }
}

function kill({ pid }: ProcessStat): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function isAlive({ pid, startTime }: ProcessStat): boolean {
  const now = readStat(pid);
  return now !== null && !now.isZombie && now.startTime === startTime;
}
