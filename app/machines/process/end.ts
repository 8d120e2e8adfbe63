import { setTimeout as delay } from 'node:timers/promises';
import { MachineError } from '../error.ts';
import { findAgent, type Place } from './folder.ts';
import { descendantsOf, hasVariable, type ProcessStat, readStat, readStats } from './proc.ts';

/** The variable in whose value a machine's programs carry its folder. */
export const marker = 'SANDPIT_MACHINE';

const patienceMilliseconds = 5_000;
const retryMilliseconds = 5;

/** The processes of a machine. */
export type Processes = { agent: ProcessStat | null; programs: ProcessStat[] };

/** Finds programs as the agent's descendants, and by the marker if the agent has ended before. */
export function processesOf(place: Place): Processes {
  const agent = findAgent(place);
  const stats = readStats();
  const descendants = agent === null ? [] : descendantsOf(agent.pid, stats);
  const known = new Set([agent, ...descendants].map((each) => each?.pid));
  const marked = stats.filter(({ pid }) => !known.has(pid) && hasVariable(pid, marker, place.folder));
  return { agent, programs: [...descendants, ...marked] };
}

/** Ends all processes of a machine. Throws MachineError `timeout` if a process does not end. */
export async function endMachine(place: Place): Promise<void> {
  const end = performance.now() + patienceMilliseconds;
  for (;;) {
    const { agent, programs } = processesOf(place);
    // The agent goes last, because its descendants can't be found without it.
    const all = [...programs];
    if (programs.length === 0 && agent !== null) all.push(agent);
    if (all.length === 0) return;
    for (const each of all) send(each, 'SIGKILL');
    do {
      if (performance.now() > end) throw new MachineError('timeout', 'A process of the machine does not end.');
      await delay(retryMilliseconds);
    } while (all.some(isAlive));
  }
}

/** Sends a signal to a process, which may have ended. */
export function send({ pid }: ProcessStat, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function isAlive({ pid, startTime }: ProcessStat): boolean {
  const now = readStat(pid);
  return now !== null && !now.isZombie && now.startTime === startTime;
}
