import type { BuildSpec, BuildStep } from '../../../db/builds/spec.ts';
import type { components } from '../../../spec/types.gen.ts';
import { HttpError } from '../../errors.ts';
import { quoted } from '../../machines/setup/command.ts';

type BuildArgs = NonNullable<components['schemas']['SnapshotBuildArgs']>;

/**
 * Returns how to make a snapshot of an image with InstaVM's build arguments; null if they ask for
 * nothing. Throws HttpError 403, because InstaVM's client shows its user nothing of a 422.
 */
export function snapshotSpecOf(image: string, args: BuildArgs): BuildSpec | null {
  const env = args.envs ?? {};
  const isNoName = (name: string) => name === '' || name.includes('=') || name.includes('\0');
  if (Object.keys(env).some(isNoName)) throw new HttpError(403, 'envs has a name that is empty, or holds = or NUL');
  if (args.git_clone_branch && !args.git_clone_url)
    throw new HttpError(403, 'git_clone_branch needs git_clone_url: give the repository too');
  if (args.template_app_cwd && !args.template_app_cmd)
    throw new HttpError(403, 'template_app_cwd needs template_app_cmd: give the command too');
  const steps = stepsOf(args);
  const startCmd = startOf(args);
  if (steps.length === 0 && startCmd === null && Object.keys(env).length === 0) return null;
  return { from: { image }, steps, env, startCmd, readyCmd: null, force: false };
}

function stepsOf(args: BuildArgs): BuildStep[] {
  const [apt, pip, npm] = [args.extra_apt_packages, args.extra_pip_packages, args.extra_npm_packages].map(wordsOf);
  const { git_clone_url: repository, git_clone_branch: branch, post_build_cmd: command } = args;
  const clone = ['git clone', ...(branch ? [quoted(`--branch=${branch}`)] : []), '--', quoted(repository ?? '')];
  return [
    ...(apt ? [run(aptInstall(apt), 'root')] : []),
    ...(pip
      ? [run(`${hasOrInstalls('python3 -m pip --version', 'python3-pip')} && ${pipInstall} ${pip}`, 'root')]
      : []),
    ...(npm ? [run(`${hasOrInstalls('npm --version', 'npm')} && npm install --global ${npm}`, 'root')] : []),
    ...(repository ? [run(hasOrInstalls('git --version', 'git ca-certificates'), 'root')] : []),
    // Without a terminal, git would wait for a password that nobody gives.
    ...(repository ? [run(`GIT_TERMINAL_PROMPT=0 ${clone.join(' ')}`)] : []),
    ...(command?.trim() ? [run(command)] : []),
  ];
}

/** Returns the packages of a text, which blanks separate, as words of a shell. */
function wordsOf(text: string | null | undefined): string {
  return (text ?? '')
    .split(/\s+/)
    .filter((word) => word !== '')
    .map(quoted)
    .join(' ');
}

function aptInstall(packages: string): string {
  return `apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends ${packages}`;
}

/** Returns a command that installs packages of Debian unless `test` succeeds. */
function hasOrInstalls(test: string, packages: string): string {
  return `{ ${test} >/dev/null 2>&1 || { ${aptInstall(packages)}; }; }`;
}

/** Debian's pip refuses to install for the whole system unless it is told to. */
const pipInstall = 'PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir';

function run(...args: string[]): BuildStep {
  return { type: 'RUN', args, filesHash: null, force: false };
}

/** Returns the command that runs in each sandbox from its start on. */
function startOf({ template_app_cmd: command, template_app_cwd: directory }: BuildArgs): string | null {
  if (!command?.trim()) return null;
  return directory ? `cd ${quoted(directory)} && ${command}` : command;
}
