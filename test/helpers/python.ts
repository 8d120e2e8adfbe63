import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codeIn } from '../docs/marked.ts';

/** Whether this machine has Python with its module for pseudo-terminals. */
export const hasPython = spawnSync('python3', ['-c', 'import pty']).status === 0;

/** Declares a test that needs Python. Without it the test is skipped, and its title says so. */
export function itWithPython(title: string, body: Mocha.AsyncFunc): void {
  if (hasPython) it(title, body);
  else it.skip(`${title} (skipped: there is no python3 on this machine)`, body);
}

/**
 * Creates the virtual environment `dist/NAME` with the packages of a requirements file, unless it
 * has them already. Returns the path of its Python. Throws when Python, its venv or PyPI is
 * missing.
 */
export function preparePython(name: string, requirements: string): string {
  const venv = fileURLToPath(new URL(`../../dist/${name}`, import.meta.url));
  const python = join(venv, 'bin/python');
  const installed = join(venv, 'requirements.txt');
  if (existsSync(installed) && readFileSync(installed, 'utf8') === readFileSync(requirements, 'utf8')) return python;
  execFileSync('python3', ['-m', 'venv', '--clear', venv], { stdio: 'inherit' });
  const options = ['--quiet', '--disable-pip-version-check', '--only-binary', ':all:'];
  execFileSync(python, ['-m', 'pip', 'install', ...options, '--requirement', requirements], { stdio: 'inherit' });
  copyFileSync(requirements, installed);
  return python;
}

/** Runs Python in a folder, with these variables and `PATH` alone. Returns its exit status. */
export async function runPython(
  python: string,
  args: string[],
  { cwd, env = {} }: { cwd: string; env?: Record<string, string> },
): Promise<number> {
  const child = spawn(python, args, {
    cwd,
    env: { PATH: process.env.PATH, PYTHONDONTWRITEBYTECODE: '1', ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'close');
  return code ?? 1;
}

/**
 * Runs the examples of README.md and COMPATIBILITY.md that import the package, against this server:
 * those that run commands if it has machines, else the others. Throws an Error with the first that
 * fails.
 */
export async function runExamples(
  python: string,
  name: string,
  { url, key, hasMachines = false }: { url: string; key: string; hasMachines?: boolean },
): Promise<void> {
  const examples = ['README.md', 'COMPATIBILITY.md'].flatMap((page) => codeIn(page, 'python'));
  const own = examples.filter(
    (code) => code.includes(`from ${name} import`) && code.includes('commands.run') === hasMachines,
  );
  if (own.length === 0) throw new Error(`the pages show no example with ${name}`);
  for (const code of own) {
    const here = code.replaceAll('http://127.0.0.1:3000', url).replace(/\be2b_[0-9a-f]{40}\b/g, key);
    const env = { E2B_API_KEY: key, E2B_API_URL: url, E2B_SANDBOX_URL: url };
    if ((await runPython(python, ['-c', here], { cwd: '.', env })) !== 0)
      throw new Error(`this example fails:\n${here}`);
  }
}
