import type { Agent } from '../agent/agent.ts';
import { AgentError } from '../agent/error.ts';
import { statFile } from '../agent/files.ts';

/** The program with which E2B's clients run commands and terminals. */
const shell = '/bin/bash';

const advice = `This image has no ${shell}, which E2B's clients start commands and terminals with: use an image that has it`;

/** Returns why E2B's clients can't run commands in a machine; null: they can. */
export async function shellProblem(agent: Agent): Promise<string | null> {
  try {
    await statFile(agent, '', shell);
    return null;
  } catch (error) {
    if (error instanceof AgentError && error.code === 'not_found') return advice;
    throw error;
  }
}

/** Returns a process's error at its start; for a missing shell one that says what to do. */
export function explainStart(error: AgentError, program: string): AgentError {
  const isMissing = program === shell && /no such file|not found/i.test(error.message);
  return isMissing ? new AgentError(error.code, advice) : error;
}
