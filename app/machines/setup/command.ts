import type { Agent } from '../agent/agent.ts';
import { AgentError } from '../agent/error.ts';
import { statFile } from '../agent/files.ts';
import { closeInput, type Exit, type ProcessSpec, sendInput, startProcess } from '../agent/processes.ts';
import { MachineError } from '../error.ts';

/** A text that a shell runs in a machine. */
export type Command = {
  text: string;
  /** the shell's `$1`, `$2` and so on */
  args?: string[];
  /** empty: `user` */
  user: string;
  /** empty: the user's home */
  cwd: string;
  env: Record<string, string>;
  /** what it reads; undefined: nothing */
  input?: AsyncIterable<Buffer>;
  /** after how long it is killed; undefined: never */
  timeoutMilliseconds?: number;
};

/** Takes what a command prints; the command waits until it resolves. */
export type Receive = (source: 'stdout' | 'stderr', bytes: Buffer) => void | Promise<void>;

/** Directories that stay in the PATH, whatever a template sets it to. */
const standardPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Runs a command to its end. Throws AgentError, MachineError, what `receive` and `input` throw, and
 * the reason of the signal: then the command may run on.
 */
export async function runCommand(agent: Agent, command: Command, receive: Receive, signal: AbortSignal): Promise<Exit> {
  const spec = await processSpec(agent, command, signal);
  const stopped = new AbortController();
  const within = AbortSignal.any([signal, stopped.signal]);
  let feeding: Promise<void> | undefined;
  try {
    for await (const event of startProcess(agent, spec, within)) {
      if (event.type === 'exit') return await ended(event.exit, feeding, stopped);
      if (event.type !== 'start') await receive(event.type, event.bytes);
      else if (command.input) feeding = feed(agent, event.pid, command.input, within);
    }
    signal.throwIfAborted();
    throw new MachineError('gone', 'The machine stopped while it ran a command');
  } finally {
    stopped.abort();
    feeding?.catch(() => {});
  }
}

/** A command may end without reading everything; what could not be read for it is an error. */
async function ended(exit: Exit, feeding: Promise<void> | undefined, stopped: AbortController): Promise<Exit> {
  stopped.abort();
  await feeding?.catch((error) => {
    if (exit.exitCode === 0 && !(error instanceof AgentError) && error !== stopped.signal.reason) throw error;
  });
  return exit;
}

async function feed(agent: Agent, pid: number, input: AsyncIterable<Buffer>, signal: AbortSignal): Promise<void> {
  await sendInput(agent, { pid }, false, input, signal);
  await closeInput(agent, { pid }, signal);
}

/** Returns how a command is started: by a login shell, as E2B's clients start theirs. */
async function processSpec(agent: Agent, command: Command, signal: AbortSignal): Promise<ProcessSpec> {
  const { user, cwd, args = [], env, input, timeoutMilliseconds = 0 } = command;
  const shell = await shellOf(agent, signal);
  return {
    user,
    cwd,
    args: [shell, '-l', '-c', withPath(command), shell, ...args],
    env,
    hasStdin: input !== undefined,
    terminal: null,
    timeoutMilliseconds,
    tag: '',
  };
}

/** A login shell's profile would otherwise replace the PATH of a template. */
function withPath({ text, env: { PATH: path } }: Command): string {
  return path === undefined ? text : `export PATH=${quoted(`${path}:${standardPath}`)}\n${text}`;
}

/** Returns a text as one word of a shell. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Returns the shell that a machine has: commands of a template may install another one. */
export async function shellOf(agent: Agent, signal: AbortSignal): Promise<string> {
  try {
    await statFile(agent, 'root', '/bin/bash', signal);
    return '/bin/bash';
  } catch (error) {
    if (error instanceof AgentError && error.code === 'not_found') return '/bin/sh';
    throw error;
  }
}

/** Returns how a command ended, in words. */
export function exitWords({ exitCode, signal }: Exit): string {
  return signal === 0 ? `exit code ${exitCode}` : `signal ${signal}`;
}
