import type { BuildStep } from '../../../db/builds/spec.ts';
import type { Setup } from '../../../db/machines/setup.ts';
import { AgentError } from '../agent/error.ts';
import { statFile } from '../agent/files.ts';
import { copyFiles } from './copy.ts';
import { answer, asRoot, expanded, ownerOf, printed, StepError, type Workplace } from './workplace.ts';

/**
 * Does a step, and returns what holds for those after it. Throws StepError, AgentError,
 * MachineError and the reason of the signal.
 */
export async function doStep(step: BuildStep, place: Workplace): Promise<Setup> {
  const { setup } = place;
  const { args } = step;
  switch (step.type) {
    case 'RUN':
      await run(place, args);
      return setup;
    case 'COPY':
      await copyFiles(place, step);
      return setup;
    case 'ENV':
      return { ...setup, env: await variables(place, args) };
    case 'USER':
      return { ...setup, user: await user(place, args) };
    case 'WORKDIR':
      return { ...setup, workdir: await workdir(place, args) };
  }
}

async function run(place: Workplace, args: string[]): Promise<void> {
  requireCount(args, 1, 2, 'RUN takes a command and perhaps a user');
  const [text = '', user = ''] = args;
  const { user: own, workdir, env } = place.setup;
  try {
    await printed(place, { text, user: user || (own ?? ''), cwd: workdir ?? '', env });
  } catch (error) {
    throw error instanceof AgentError && error.code === 'unauthenticated' ? unknownUser(text, error) : error;
  }
}

/** E2B's clients look for these words. */
function unknownUser(command: string, { code, message }: AgentError): AgentError {
  return new AgentError(code, `failed to run command '${command.slice(0, 200)}': command failed: ${code}: ${message}`);
}

async function variables(place: Workplace, args: string[]): Promise<Record<string, string>> {
  const isPairs = args.length > 0 && args.length % 2 === 0;
  if (!isPairs) throw new StepError('ENV takes names and values in turn');
  const env = new Map(Object.entries(place.setup.env));
  for (let at = 0; at < args.length; at += 2) {
    const [name = '', value = ''] = args.slice(at);
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      throw new StepError(`ENV can't set '${name}': use letters, digits and _`);
    env.set(name, await expanded({ ...place, setup: { ...place.setup, env: Object.fromEntries(env) } }, value));
  }
  return Object.fromEntries(env);
}

async function user(place: Workplace, args: string[]): Promise<string> {
  requireCount(args, 1, 1, 'USER takes the name of a user');
  const [name = ''] = (await expanded(place, args[0] ?? '')).split(':');
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/.test(name)) throw new StepError(`USER can't be '${name}'`);
  const known = /^\d+$/.test(name) ? (await answer(place, 'id -un "$1"', [name])).trim() : name;
  if (!(await hasUser(place, known))) await printed(place, { ...asRoot, text: addUser, args: [known] });
  return known;
}

async function hasUser({ agent, signal }: Workplace, name: string): Promise<boolean> {
  try {
    await statFile(agent, name, '/', signal);
    return true;
  } catch (error) {
    if (error instanceof AgentError && error.code === 'unauthenticated') return false;
    throw error;
  }
}

/** Debian and Fedora have `useradd`, BusyBox has `adduser`. */
const addUser = `shell=/bin/sh
[ -x /bin/bash ] && shell=/bin/bash
if command -v useradd >/dev/null; then useradd -m -s "$shell" "$1"
elif command -v adduser >/dev/null; then adduser -D -s "$shell" "$1"
else echo "there is no user $1, and this image has no program that adds one" >&2; exit 1
fi`;

async function workdir(place: Workplace, args: string[]): Promise<string> {
  requireCount(args, 1, 1, 'WORKDIR takes a directory');
  const given = await expanded(place, args[0] ?? '');
  if (given === '') throw new StepError('WORKDIR needs the name of a directory');
  const path = given.startsWith('/') ? given : `${place.setup.workdir ?? ''}/${given}`;
  await printed(place, { ...asRoot, text: makeWorkdir, args: [path, await ownerOf(place)] });
  return (await answer(place, 'cd "$1" && pwd', [path])).replace(/\n$/, '');
}

/** What is new of a path belongs to the user who works there. */
const makeWorkdir = `[ -d "$1" ] && exit 0
new=$1
while [ ! -d "$(dirname "$new")" ]; do new=$(dirname "$new"); done
mkdir -p "$1" && chown -R "$2" "$new"`;

function requireCount(args: string[], least: number, most: number, words: string): void {
  if (args.length < least || args.length > most || args[0] === '') throw new StepError(words);
}
