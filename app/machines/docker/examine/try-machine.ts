import { randomBytes } from 'node:crypto';
import { type Agent, connectAgent } from '../../agent/agent.ts';
import { startProcess } from '../../agent/processes.ts';
import type { MachineSpec } from '../../driver.ts';
import { enforce } from '../../network/enforce.ts';
import { noInternet } from '../../network/rules.ts';
import { openChannel } from '../channel.ts';
import { createContainer, removeContainer } from '../containers/create.ts';
import type { Engine } from '../engine/engine.ts';
import { findImage } from '../images/images.ts';
import { Names } from '../labels.ts';
import { removeVolumes } from '../program.ts';
import { Shared } from '../shared.ts';
import { attempt, since } from './attempt.ts';
import type { MachineFinding } from './finding.ts';
import { tryChanges } from './try-changes.ts';

const memoryMb = 128;
/** Milliseconds for everything that is done in the machine. */
const patience = 60_000;
const readMemory = 'cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes';
const readProcesses = 'cat /sys/fs/cgroup/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids/pids.max';
/**
 * Connects to an address for documentation (RFC 5737), which without rules would wait in vain.
 * The command's own check says so if there is no bash.
 */
const connectToNobody =
  'command -v bash > /dev/null || { echo unknown; exit; }; timeout 2 bash -c ": < /dev/tcp/203.0.113.1/9" 2>&1 || :';
const readNetwork = 'cat /proc/net/dev';

type Check = MachineFinding['check'];

/** Starts a machine from an image, uses it and removes it. Returns what works and what does not. */
export async function tryMachine(engine: Engine, image: string, hasRules: boolean): Promise<MachineFinding[]> {
  const present = await attempt('image', async () => {
    const found = await findImage(engine, image);
    if (found === null) throw new Error(`${image} is missing: sandpit templates pull base fetches it`);
    return `${image}, ${Math.round(found.sizeBytes / 1e6)} MB`;
  });
  if (present.problems.length > 0) return [present];
  // A name of its own keeps it apart from the machines of every database.
  const shared = new Shared(engine, new Names(randomBytes(8).toString('hex')), hasRules);
  const id = 'doctor';
  const spec: MachineSpec = {
    id,
    image,
    isSnapshot: false,
    vcpuCount: 1,
    memoryMb,
    network: noInternet,
    allowsSudo: false,
    runtime: null,
  };
  const tried = await useMachine(shared, spec);
  const removed = await attempt('removal', async () => {
    const began = performance.now();
    await removeContainer(engine.docker.getContainer(shared.names.machine(id)));
    await shared.release(id);
    const took = since(began);
    await removeVolumes(engine, shared.names);
    return `the machine is gone after ${took}`;
  });
  return [present, ...tried, removed];
}

async function useMachine(shared: Shared, spec: MachineSpec): Promise<MachineFinding[]> {
  const signal = AbortSignal.timeout(patience);
  let agent: Agent | undefined;
  const started = await attempt('machine', async () => {
    // What all machines share is made once, so it does not count.
    await shared.volume(spec.image);
    const began = performance.now();
    await createContainer(shared, spec, signal);
    const created = since(began);
    const container = shared.engine.docker.getContainer(shared.names.machine(spec.id));
    agent = await connectAgent(await openChannel(container, signal));
    return `started in ${created}, its agent answers after ${since(began)}`;
  });
  if (agent === undefined) return [started];
  try {
    return [
      started,
      ...(await examineInside(agent, shared.hasRules, signal)),
      ...(await tryChanges(shared, spec.id, signal)),
    ];
  } finally {
    agent.close();
  }
}

async function examineInside(agent: Agent, hasRules: boolean, signal: AbortSignal): Promise<MachineFinding[]> {
  const shell = (command: string) => outputOf(agent, ['/bin/sh', '-c', command], signal);
  const limit = (check: Check, read: string, most: number, unit: string) =>
    attempt(check, async () => {
      const value = (await shell(read)).trim();
      if (Number(value) === most) return `at most ${most} ${unit}`;
      throw new Error(`the limit reads ${value} and should be ${most} ${unit}: see the cgroups of the engine`);
    });
  return [
    await attempt('command', async () => {
      const began = performance.now();
      const output = await outputOf(agent, ['/bin/bash', '-l', '-c', 'echo hi'], signal).catch((error) => {
        throw new Error(`/bin/bash does not run in this image, and E2B's SDKs need it: ${(error as Error).message}`);
      });
      if (!output.endsWith('hi\n')) throw new Error(`echo hi printed ${JSON.stringify(output.slice(0, 100))}`);
      return `bash answers in ${since(began)}`;
    }),
    await limit('memory', readMemory, memoryMb * 2 ** 20, 'bytes'),
    await limit('processes', readProcesses, 256, 'processes'),
    await attempt('network', async () => {
      if (hasRules) return tryRules(agent, signal);
      const interfaces = [...(await shell(readNetwork)).matchAll(/^\s*(\w+):/gm)].map(([, name]) => name);
      if (interfaces.join() === 'lo') return 'a machine without Internet access has none';
      throw new Error(`a machine that is to have no network has ${interfaces.join(', ')}`);
    }),
  ];
}

/** Closes the network to a machine. Throws an Error if it reaches an address that is nobody's. */
async function tryRules(agent: Agent, signal: AbortSignal): Promise<string> {
  await enforce(agent, noInternet, signal);
  const output = await outputOf(agent, ['/bin/sh', '-c', connectToNobody], signal);
  if (/no route to host|unknown/i.test(output))
    return 'its rules can be changed: a machine without Internet access reaches none';
  throw new Error(`a machine that is to reach nothing can try to: ${output || 'its connection opens'}`);
}

/** Runs a program and returns its output, at most 10,000 characters of it. Throws if it fails. */
async function outputOf(agent: Agent, args: string[], signal: AbortSignal): Promise<string> {
  const rest = { cwd: '/', env: {}, hasStdin: false, terminal: null, timeoutMilliseconds: 10_000, tag: '' };
  let output = '';
  for await (const event of startProcess(agent, { user: 'root', args, ...rest }, signal)) {
    if (event.type === 'exit' && event.exit.exitCode === 0) return output;
    if (event.type === 'exit') throw new Error(`it ended with ${event.exit.exitCode}: ${output.slice(0, 200)}`);
    if (event.type !== 'start') output = (output + event.bytes).slice(0, 10_000);
  }
  throw new Error('it ended without a result');
}
