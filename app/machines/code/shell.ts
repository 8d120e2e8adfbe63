import { randomUUID } from 'node:crypto';
import type { Agent } from '../agent/agent.ts';
import { type Exit, signalProcess, signals, startProcess } from '../agent/processes.ts';
import { MachineError } from '../error.ts';
import type { CodeEvent, Place } from './context.ts';

/** Begins the tags of scripts. Nobody waits for one whose connection has ended. */
export const scriptTag = 'sandpit-script';

/**
 * Runs a script in a login shell of its own, side by side with others. The signal kills it with all
 * it has started, and so does leaving the loop; so does the machine itself after this time. Throws
 * AgentError, also if the image has no bash, and MachineError.
 */
export async function* runScript(
  agent: Agent,
  { user, cwd, env }: Place,
  script: string,
  timeoutMilliseconds: number,
  signal: AbortSignal,
): AsyncGenerator<CodeEvent> {
  const tag = `${scriptTag}:${randomUUID()}`;
  const args = ['/bin/bash', '-l', '-c', script];
  const spec = { user, cwd, args, env, hasStdin: false, terminal: null, timeoutMilliseconds, tag };
  const kill = () => signalProcess(agent, { tag }, signals.kill).catch(() => {});
  let hasEnded = false;
  let hasStarted = false;
  const stop = () => void (hasStarted && kill());
  signal.addEventListener('abort', stop);
  try {
    for await (const event of startProcess(agent, spec)) {
      if (event.type === 'start') {
        hasStarted = true;
        if (signal.aborted) stop();
      } else if (event.type === 'exit') {
        hasEnded = true;
        yield doneEvent(event.exit);
        return;
      } else yield { type: 'output', source: event.type, bytes: event.bytes };
    }
    throw new MachineError('gone', 'The machine of the sandbox stopped while it ran code');
  } finally {
    signal.removeEventListener('abort', stop);
    if (!hasEnded) await kill();
  }
}

/** A shell gives a command that a signal ended 128 and the signal's number. */
function doneEvent({ exitCode, signal }: Exit): CodeEvent {
  const code = signal === 0 ? exitCode : 128 + signal;
  return { type: 'done', isOk: code === 0, count: 1, exitCode: code, cpuSeconds: null };
}
