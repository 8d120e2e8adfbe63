import { setTimeout as delay } from 'node:timers/promises';
import type { Setup } from '../../../db/machines/setup.ts';
import type { Agent } from '../agent/agent.ts';
import { AgentError } from '../agent/error.ts';
import { type ProcessSpec, startProcess } from '../agent/processes.ts';
import { MachineError } from '../error.ts';
import { type Command, exitWords, type Receive, runCommand, shellOf } from './command.ts';
import { Tail } from './tail.ts';

/**
 * How long a template's ready command may need while a client waits for its sandbox: E2B's clients
 * wait 60 s for all of it.
 */
export const readyMilliseconds = 45_000;

/** The pauses between two tries of a ready command. */
const firstPauseMilliseconds = 50;
const lastPauseMilliseconds = 2000;

/**
 * A start command's shell stays, to say in the log of the sandbox how a command ended that was
 * meant to go on.
 */
const startScript = `"$0" -l -c "$1"
code=$?
[ $code -eq 0 ] || echo "The start command of the template ended with exit code $code" >&2
exit $code`;

type Limits = {
  readyMilliseconds: number;
  /** how long a start command is watched if there is no ready command; undefined: not at all */
  watchMilliseconds?: number;
  /** Takes what the commands print. */
  receive?: Receive;
  signal: AbortSignal;
};

/**
 * Runs the start command of a template in the background, and its ready command until that
 * succeeds. Does nothing for a template without them. Throws MachineError: `timeout` when the ready
 * command does not succeed in time, `failed` when the start command fails before that or one of
 * them can't be run. Throws what `receive` throws and the reason of the signal.
 */
export async function startSetup(agent: Agent, setup: Setup, limits: Limits): Promise<void> {
  const over = new AbortController();
  const within = { ...limits, signal: AbortSignal.any([limits.signal, over.signal]) };
  const begun = Promise.withResolvers<void>();
  const starting = follow(agent, setup, within, begun.resolve);
  const readying = begun.promise.then(() => untilReady(agent, setup, within));
  try {
    // A start command that ends well leaves it to the ready command.
    await Promise.race([readying, starting.then(() => readying)]);
  } catch (error) {
    limits.signal.throwIfAborted();
    throw error instanceof AgentError ? new MachineError('failed', cannotRun(error), { cause: error }) : error;
  } finally {
    // The start command goes on, and nobody listens to it any more.
    over.abort();
    for (const work of [starting, readying]) work.catch(() => {});
  }
}

function cannotRun({ message }: AgentError): string {
  return `The template's commands can't be run: ${message}`;
}

function commandOf({ user, workdir, env }: Setup, text: string): Command {
  return { text, user: user ?? '', cwd: workdir ?? '', env };
}

/** Starts the start command, calls `onStart`, and follows it until the signal or its failure. */
async function follow(agent: Agent, setup: Setup, limits: Limits, onStart: () => void): Promise<void> {
  const { receive, signal } = limits;
  if (setup.startCmd === null) return onStart();
  const tail = new Tail();
  for await (const event of startProcess(agent, await startSpec(agent, setup, setup.startCmd, signal), signal)) {
    if (event.type === 'start') onStart();
    else if (event.type !== 'exit') {
      tail.add(event.bytes);
      await receive?.(event.type, event.bytes);
    } else if (event.exit.exitCode !== 0) {
      throw new MachineError('failed', `The start command of the template failed${tail.words()}`);
    }
  }
}

async function startSpec(agent: Agent, setup: Setup, text: string, signal: AbortSignal): Promise<ProcessSpec> {
  const shell = await shellOf(agent, signal);
  const args = [shell, '-c', startScript, shell, text];
  const { user, workdir, env } = setup;
  const plain = { hasStdin: false, terminal: null, timeoutMilliseconds: 0, tag: '' };
  return { user: user ?? '', cwd: workdir ?? '', args, env, ...plain };
}

async function untilReady(agent: Agent, setup: Setup, limits: Limits): Promise<void> {
  const { receive, signal, watchMilliseconds = 0 } = limits;
  if (setup.readyCmd === null) {
    if (setup.startCmd !== null) await delay(watchMilliseconds, undefined, { signal });
    return;
  }
  const end = performance.now() + limits.readyMilliseconds;
  for (let pause = firstPauseMilliseconds; ; pause = Math.min(pause * 2, lastPauseMilliseconds)) {
    const tail = new Tail();
    const command = commandOf(setup, setup.readyCmd);
    const left = Math.max(1, Math.ceil(end - performance.now()));
    const late = AbortSignal.timeout(left + graceMilliseconds);
    const take: Receive = (source, bytes) => {
      tail.add(bytes);
      return receive?.(source, bytes);
    };
    const within = AbortSignal.any([signal, late]);
    const exit = await runCommand(agent, { ...command, timeoutMilliseconds: left }, take, within).catch((error) => {
      throw late.aborted && !signal.aborted ? notReady(limits, 'it did not end', tail) : error;
    });
    if (exit.exitCode === 0) return;
    if (performance.now() + pause >= end) throw notReady(limits, `it last ended with ${exitWords(exit)}`, tail);
    await delay(pause, undefined, { signal });
  }
}

/** What an agent may need to kill a command that took too long. */
const graceMilliseconds = 2000;

function notReady({ readyMilliseconds: limit }: Limits, how: string, tail: Tail): MachineError {
  const words = `The ready command of the template did not succeed within ${Math.round(limit / 1000)} s`;
  return new MachineError('timeout', `${words}: ${how}${tail.words()}`);
}
