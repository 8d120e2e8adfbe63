import type { Agent } from '../agent/agent.ts';
import { AgentError } from '../agent/error.ts';
import { explainStart } from '../images/shell.ts';
import { untilAborted } from '../until-aborted.ts';
import type { CodeEvent, Place } from './context.ts';
import { codeContextsOf } from './contexts.ts';
import type { Language } from './languages.ts';
import { runScript } from './shell.ts';
import { type Ending, transcribe, type Write } from './transcript.ts';

/** Code to run like a command, within a time. */
export type Order = {
  language: Language;
  code: string;
  /** variables for this code, beside those of the place */
  env: Record<string, string>;
  timeoutSeconds: number;
};

/** What `timeout(1)` exits with. */
const timedOut = 124;

/**
 * Runs code to its end and writes what it prints: a script in a shell of its own, other code in the
 * sandbox's context of its language. When the time is nearly over the code is interrupted, and a
 * little later it is given up, so that the answer comes in time. Throws HttpError, AgentError and
 * MachineError, and the reason of the signal.
 */
export async function runCode(
  agent: Agent,
  place: Place,
  order: Order,
  write: Write,
  signal: AbortSignal,
): Promise<Ending> {
  const { timeoutSeconds } = order;
  const milliseconds = timeoutSeconds * 1000;
  const margin = Math.min(1000, milliseconds / 4);
  const [late, tooLate] = [milliseconds - margin, milliseconds - margin / 2].map((time) => AbortSignal.timeout(time));
  const stop = AbortSignal.any([signal, late as AbortSignal]);
  let isOver = false;
  const writeInTime: Write = (source, text) => (isOver ? undefined : write(source, text));
  try {
    const events = await eventsOf(agent, place, order, stop);
    const ending = await untilAborted(
      transcribe(events, writeInTime),
      AbortSignal.any([signal, tooLate as AbortSignal]),
    );
    if (!late?.aborted) return ending;
  } catch (error) {
    if (signal.aborted || !late?.aborted) throw error;
  } finally {
    isOver = true;
  }
  await write('stderr', `The code was ended because its timeout of ${timeoutSeconds} s was over\n`);
  return { exitCode: timedOut, cpuSeconds: null };
}

async function eventsOf(
  agent: Agent,
  place: Place,
  order: Order,
  stop: AbortSignal,
): Promise<AsyncIterable<CodeEvent>> {
  const { language, code, env, timeoutSeconds } = order;
  // First, because it ends the scripts of earlier connections.
  const contexts = await codeContextsOf(agent);
  if (language === 'bash')
    return explained(runScript(agent, { ...place, env: { ...place.env, ...env } }, code, timeoutSeconds * 1000, stop));
  return contexts.defaultOf(language, place).execute(code, env, stop);
}

/** Says what to do if the image has no bash. */
async function* explained(events: AsyncIterable<CodeEvent>): AsyncGenerator<CodeEvent> {
  try {
    yield* events;
  } catch (error) {
    throw error instanceof AgentError ? explainStart(error, '/bin/bash') : error;
  }
}
