import { hash } from 'node:crypto';
import { readAsset } from '../../../spec/assets.ts';

/** The processors that the agent is built for, in the words of `process.arch`. */
export type AgentArchitecture = 'x64' | 'arm64';

/** The agent's program; `version` identifies its bytes. */
export type BuiltAgent = { bytes: Buffer; version: string };

const read = new Map<AgentArchitecture, BuiltAgent>();

/** Returns the agent's program for a processor, from the executable or the checkout. */
export function builtAgent(architecture: AgentArchitecture): BuiltAgent {
  let agent = read.get(architecture);
  if (agent === undefined) {
    const bytes = readAsset(`agent-${architecture}`);
    agent = { bytes, version: hash('sha256', bytes).slice(0, 16) };
    read.set(architecture, agent);
  }
  return agent;
}
