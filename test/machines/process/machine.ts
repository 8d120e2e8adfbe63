import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Agent, connectAgent } from '../../../app/machines/agent/agent.ts';
import type { ProcessEvent, ProcessSpec } from '../../../app/machines/agent/processes.ts';
import { startProcess } from '../../../app/machines/agent/processes.ts';
import type { Driver, MachineSpec } from '../../../app/machines/driver.ts';
import { openNetwork } from '../../../app/machines/network/rules.ts';
import { createProcessDriver } from '../../../app/machines/process/driver.ts';
import { temporaryDirectory } from '../../helpers/server.ts';

/** A running machine of the process driver. */
export type TestMachine = {
  id: string;
  driver: Driver;
  directory: string;
  home: string;
  agent: Agent;
  /** Opens another connection to the agent. */
  connect: () => Promise<Agent>;
};

const running = new Set<TestMachine>();

/**
 * Starts a machine in a temporary directory. `TEST_AGENT` names another agent's program with its
 * first arguments, e.g. `qemu-aarch64-static app/machines/agent/built/agent-arm64`.
 */
export async function startMachine(): Promise<TestMachine> {
  const directory = temporaryDirectory();
  const driver = createTestDriver(directory);
  const spec = machineSpec('machine');
  await driver.create(spec, patience());
  const connect = async () => connectAgent(await driver.channel(spec.id, patience()));
  const home = join(directory, `machines-${instance}`, spec.id, 'home');
  const machine = { id: spec.id, driver, directory, home, agent: await connect(), connect };
  running.add(machine);
  return machine;
}

const instance = '0123456789abcdef';

/** Returns a driver whose machines are in a folder of the directory. */
export function createTestDriver(directory: string, program = process.env.TEST_AGENT?.split(' ')): Driver {
  return createProcessDriver({ instance, db: join(directory, 'sandpit.db'), ...(program && { program }) });
}

/** Called after each test. */
export async function endMachines(): Promise<void> {
  for (const { driver, id, agent } of running) {
    agent.close();
    await driver.remove(id);
    await driver.close();
  }
  running.clear();
}

export function machineSpec(id: string, changes: Partial<MachineSpec> = {}): MachineSpec {
  const sizes = { vcpuCount: 1, memoryMb: 512 };
  return {
    id,
    image: 'base',
    isSnapshot: false,
    ...sizes,
    network: openNetwork,
    allowsSudo: false,
    runtime: null,
    ...changes,
  };
}

/** Returns a signal that ends what takes much too long. */
export function patience(): AbortSignal {
  return AbortSignal.timeout(30_000);
}

/** Returns the specification of a command that a shell runs. */
export function shell(command: string, changes: Partial<ProcessSpec> = {}): ProcessSpec {
  return {
    user: '',
    cwd: '',
    args: ['/bin/bash', '-c', command],
    env: {},
    hasStdin: false,
    terminal: null,
    timeoutMilliseconds: 0,
    tag: '',
    ...changes,
  };
}

/** What a command did. */
export type Outcome = { pid: number; stdout: string; stderr: string; exitCode: number; signal: number };

/** Runs a command to its end. */
export function run(agent: Agent, command: string, changes: Partial<ProcessSpec> = {}): Promise<Outcome> {
  return outcomeOf(startProcess(agent, shell(command, changes)));
}

/** Reads the events of a process to its end. */
export async function outcomeOf(events: AsyncIterable<ProcessEvent>): Promise<Outcome> {
  const outcome: Outcome = { pid: 0, stdout: '', stderr: '', exitCode: Number.NaN, signal: Number.NaN };
  for await (const event of events) {
    if (event.type === 'start') outcome.pid = event.pid;
    else if (event.type === 'exit') Object.assign(outcome, event.exit);
    else outcome[event.type] += event.bytes.toString();
  }
  return outcome;
}

/** Reads events up to and including the start; the process runs on. Returns its pid. */
export async function pidOf(events: AsyncGenerator<ProcessEvent>): Promise<number> {
  const { value } = await events.next();
  if (value?.type !== 'start') throw new Error(`the first event is ${JSON.stringify(value)}`);
  return value.pid;
}

/** Reads output until it matches; returns all of it. */
export async function readUntil(events: AsyncGenerator<ProcessEvent>, pattern: RegExp): Promise<string> {
  for (let text = ''; ; ) {
    const { value, done } = await events.next();
    if (done || value.type === 'exit') throw new Error(`${pattern} is not in the output: ${text}`);
    if (value.type !== 'start') text += value.bytes;
    if (pattern.test(text)) return text;
  }
}

/** Waits until a check passes, looking again and again. */
export async function eventually(check: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = performance.now() + 20_000; !(await check()); await delay(5))
    if (performance.now() > end) throw new Error('the condition did not come true');
}

/** Returns a number once it is the same twice in a row. */
export async function settled(read: () => Promise<number>): Promise<number> {
  let last = Number.NaN;
  await eventually(async () => {
    const now = await read();
    const isSame = now === last;
    last = now;
    return isSame;
  });
  return last;
}
