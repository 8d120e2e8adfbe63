import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Creates the virtual environment `dist/NAME` with the packages of a requirements file, unless it has
 * them already. Returns the path of its Python. Throws when Python, its venv or PyPI is missing.
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
