import type { FileHandle } from 'node:fs/promises';
import type { Setup } from '../../../db/machines/setup.ts';
import type { Agent } from '../agent/agent.ts';
import { statFile } from '../agent/files.ts';
import { type Command, exitWords, runCommand } from '../setup/command.ts';
import { Tail } from '../setup/tail.ts';
import type { Printing } from './build-log.ts';

/** Where a step runs, and what the steps before it have laid down. */
export type Workplace = {
  agent: Agent;
  setup: Setup;
  /** Takes what commands print. */
  printing: Printing;
  /** Opens an archive that the owner has uploaded; null if there is none. */
  openFiles: (hash: string) => Promise<FileHandle | null>;
  signal: AbortSignal;
};

/** A step can't be done, for a reason that its author can change. */
export class StepError extends Error {
  override name = 'StepError';
}

/** Returns the ids of the user who runs commands, as `chown` takes them. */
export async function ownerOf(place: Workplace): Promise<string> {
  const user = place.setup.user ?? '';
  return (await answer(place, 'echo "$(id -u):$(id -g)"', [], user)).trim();
}

/** Returns the directory that relative paths are in. */
export async function directoryOf({ agent, setup, signal }: Workplace): Promise<string> {
  return setup.workdir ?? (await statFile(agent, setup.user ?? '', '', signal)).path;
}

/** Returns a text with the values of the variables in it, as `$NAME` and `${NAME}`. */
export async function expanded(place: Workplace, text: string): Promise<string> {
  if (!text.includes('$')) return text;
  // Everything else that means something to a shell between quotation marks is taken as it is.
  const plain = text.replaceAll(/[\\"`]|\$(?=\()/g, '\\$&');
  return answer(place, `printf '%s' "${plain}"`, [], 'root', place.setup.env);
}

export const asRoot = { user: 'root', cwd: '/', env: {} };

/** The most that a command of ours may answer. */
const maxAnswerBytes = 65_536;

/** Returns the output of a command. Throws StepError if it fails. */
export async function answer(
  { agent, signal }: Workplace,
  text: string,
  args: string[],
  user = 'root',
  env: Record<string, string> = {},
): Promise<string> {
  const parts: Buffer[] = [];
  const problem = new Tail();
  let length = 0;
  const receive = (source: 'stdout' | 'stderr', bytes: Buffer) => {
    if (source === 'stderr') return problem.add(bytes);
    length += bytes.length;
    if (length > maxAnswerBytes) throw new StepError('a value has more than 64 KiB');
    parts.push(bytes);
  };
  const exit = await runCommand(agent, { text, args, user, cwd: '/', env }, receive, signal);
  if (exit.exitCode !== 0) throw new StepError(`failed with ${exitWords(exit)}${problem.words()}`);
  return Buffer.concat(parts).toString();
}

/** Runs a command whose output the log shows. Throws StepError if it fails. */
export async function printed({ agent, printing, signal }: Workplace, command: Command): Promise<void> {
  const tail = new Tail();
  const exit = await runCommand(
    agent,
    command,
    (source, bytes) => {
      tail.add(bytes);
      return printing.receive(source, bytes);
    },
    signal,
  ).finally(() => printing.end());
  if (exit.exitCode !== 0) throw new StepError(`failed with ${exitWords(exit)}${tail.words()}`);
}
