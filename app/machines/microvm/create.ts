import { setTimeout as delay } from 'node:timers/promises';
import { agentFile } from '../agent/program.ts';
import type { MachineSpec } from '../driver.ts';
import { MachineError } from '../error.ts';
import { dnsArguments, networkArguments, refuseRules } from './network.ts';
import type { Places } from './places.ts';
import { isPassing } from './runtime/failures.ts';
import type { Msb } from './runtime/msb.ts';

/** Where machines have the agent. */
const program = '/.sandpit/agent';
/** The port of the virtual socket that leads to the server. */
const port = 5000;
/** How long the agent's start may take, which returns once it is in the background. */
const startMilliseconds = 60_000;
/** How often a start is tried for which msb had no patience, and what it is given in between. */
const mostTries = 4;
const pauseMilliseconds = 300;

/** Throws MachineError `unsupported` for what this driver can't do. */
export function refuseImpossible(spec: MachineSpec): void {
  const { runtime } = spec;
  if (runtime !== null) throw new MachineError('unsupported', `microVMs have no container runtime ${runtime}`);
  refuseRules(spec);
}

/** Returns the arguments of `msb create` for a machine. */
export function createArguments(places: Places, spec: MachineSpec): string[] {
  return [
    ...['create', '-q', '--pull', 'never', '--name', places.name(spec.id)],
    ...['--hostname', spec.id.slice(0, 63)],
    ...['--memory', `${spec.memoryMb}M`, '--cpus', String(spec.vcpuCount)],
    ...['--label', `sandpit.sandbox=${spec.id}`],
    ...networkArguments(spec.network),
    ...dnsArguments(spec.network),
    ...['--copy-file', `${agentFile(places.directory)}:${program}`],
    ...route(places, spec.id),
    spec.image,
  ];
}

/** Returns the arguments of `msb restore` for a machine. It has the memory that was captured. */
export function restoreArguments(places: Places, spec: MachineSpec): string[] {
  const network = networkArguments(spec.network);
  return ['restore', '-q', '--name', places.name(spec.id), ...network, ...route(places, spec.id), spec.image];
}

/**
 * Returns the arguments of `msb fork` for a copy of a machine. It has the network rules of its
 * source.
 */
export function forkArguments(places: Places, source: string, spec: MachineSpec): string[] {
  // msb wants consent to share what the source's network is made of. Nothing else is shared.
  const consent = '--dangerously-inherit-resources';
  return ['fork', '-q', places.name(source), '--name', places.name(spec.id), consent, ...route(places, spec.id)];
}

function route(places: Places, id: string): string[] {
  return ['--vsock', `${places.of(id).socket}:${port}/stream`];
}

/**
 * Runs a command of msb that starts a machine; again if its own patience was too short, or if
 * an interrupted create has left a machine. Leaves what it began.
 */
export async function begin(
  msb: Msb,
  args: string[],
  signal: AbortSignal,
  cleanUp: () => Promise<void>,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await msb.run(args, { doing: 'start the machine', signal });
      return;
    } catch (error) {
      if (!isPassing(error) || tries === mostTries) throw error;
    }
    await delay(tries * pauseMilliseconds, undefined, { signal }).catch(() => {});
    await cleanUp();
  }
}

/**
 * Starts the agent in a machine that has booted. It detaches from msb, which takes no snapshot
 * while a command of its own runs. An agent that runs already stays the only one.
 */
export async function startAgent(msb: Msb, places: Places, id: string, signal: AbortSignal): Promise<void> {
  const { allowsSudo } = places.facts(id) ?? { allowsSudo: false };
  const serve = ['serve', '--connect', `vsock:${port}`, '--detach', 'yes', '--sudo', allowsSudo ? 'yes' : 'no'];
  const args = [
    'exec',
    '-q',
    '--no-stdin',
    '--user',
    '0:0',
    '--workdir',
    '/',
    places.name(id),
    '--',
    program,
    ...serve,
  ];
  await msb.run(args, { doing: 'start the agent', milliseconds: startMilliseconds, signal });
}
