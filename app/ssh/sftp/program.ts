import type { Agent } from '../../machines/agent/agent.ts';
import { startProcess } from '../../machines/agent/processes.ts';
import { Refused } from './refused.ts';

const timeoutMilliseconds = 60_000;
const maxCharacters = 4096;

/**
 * Runs a program in a machine, and returns the line that it prints. Throws Refused with what it
 * says of its failure, AgentError and MachineError.
 */
export async function runProgram(agent: Agent, user: string, args: string[], signal: AbortSignal): Promise<string> {
  const spec = {
    user,
    cwd: '',
    args,
    env: { LC_ALL: 'C' },
    hasStdin: false,
    terminal: null,
    timeoutMilliseconds,
    tag: '',
  };
  const said = { stdout: '', stderr: '' };
  for await (const event of startProcess(agent, spec, signal)) {
    if (event.type === 'stdout' || event.type === 'stderr')
      said[event.type] = (said[event.type] + event.bytes).slice(0, maxCharacters);
    else if (event.type === 'exit' && event.exit.exitCode === 0) return said.stdout.replace(/\n$/, '');
  }
  throw new Refused(said.stderr.trim() || `${args[0]} failed`);
}
