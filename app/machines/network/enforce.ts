import type { Agent } from '../agent/agent.ts';
import { AgentError } from '../agent/error.ts';
import { setPolicy } from '../agent/network.ts';
import type { Driver } from '../driver.ts';
import { MachineError } from '../error.ts';
import { compilePolicy } from './compile.ts';
import { readHost } from './host.ts';
import type { EgressRules } from './rules.ts';

/** Returns whether a driver leaves it to agents to enforce rules. */
export function isByAgent({ features, restrict }: Pick<Driver, 'features' | 'restrict'>): boolean {
  return features.has('egress') && restrict === undefined;
}

/**
 * Makes a machine's agent enforce rules, in place of those before. Resolves once they are in force.
 * Throws MachineError `unsupported` where the machine's kernel can't, and `failed`.
 */
export async function enforce(agent: Agent, rules: EgressRules, signal: AbortSignal): Promise<void> {
  try {
    await setPolicy(agent, compilePolicy(rules, readHost()), signal);
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    if (error.code === 'unimplemented') throw new MachineError('unsupported', `${cannot}: ${error.message}`);
    throw new MachineError('failed', `The network rules of the sandbox could not be set: ${error.message}`);
  }
}

const cannot =
  'The machine of the sandbox can have no network rules, by which private addresses are closed to it (the operator can give them up with --network-rules off)';
