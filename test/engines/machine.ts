import { randomBytes } from 'node:crypto';
import pino from 'pino';
import { type Agent, connectAgent } from '../../app/machines/agent/agent.ts';
import { startProcess } from '../../app/machines/agent/processes.ts';
import { createDockerDriver } from '../../app/machines/docker/driver.ts';
import type { Driver, MachineSpec } from '../../app/machines/driver.ts';
import { enforce } from '../../app/machines/network/enforce.ts';
import { noInternet } from '../../app/machines/network/rules.ts';
import type { TestEngine } from '../machines/engines/engines.ts';

export const soon = () => AbortSignal.timeout(60_000);

/** Returns a driver of a database of its own. */
export function driverOf({ address }: TestEngine, instance = randomBytes(8).toString('hex')): Driver {
  return createDockerDriver({ instance, engine: address, db: ':memory:', log: pino({ level: 'silent' }) });
}

export function specOf(id: string, { image }: TestEngine, changes: Partial<MachineSpec> = {}): MachineSpec {
  const small = {
    isSnapshot: false,
    vcpuCount: 1,
    memoryMb: 128,
    network: noInternet,
    allowsSudo: false,
    runtime: null,
  } as const;
  return { id, image, ...small, ...changes };
}

/** Creates a machine and connects to its agent. */
export async function startMachine(driver: Driver, spec: MachineSpec): Promise<Agent> {
  await driver.create(spec, soon());
  return connect(driver, spec.id, spec.network);
}

export async function connect(driver: Driver, id: string, network = noInternet): Promise<Agent> {
  const agent = await connectAgent(await driver.channel(id, soon()));
  await enforce(agent, network, soon());
  return agent;
}

export type Ran = { output: string; exitCode: number; signal: number };

/** Runs a command of bash to its end. */
export async function run(agent: Agent, command: string, user = ''): Promise<Ran> {
  return runProgram(agent, ['/bin/bash', '-c', command], user);
}

export async function runProgram(agent: Agent, args: string[], user = ''): Promise<Ran> {
  const spec = { user, cwd: '/', args, env: {}, hasStdin: false, terminal: null, timeoutMilliseconds: 0, tag: '' };
  let output = '';
  for await (const event of startProcess(agent, spec)) {
    if (event.type === 'exit') return { output, ...event.exit };
    if (event.type !== 'start') output += event.bytes;
  }
  throw new Error('the process ended without a result');
}

/** Returns a variable's state in `/proc/self/status` of a process of `user`. */
export async function statusIn(agent: Agent, name: string): Promise<string> {
  const { output } = await run(agent, `grep '^${name}:' /proc/self/status`);
  return output.replace(/^\w+:\s*/, '').trim();
}
