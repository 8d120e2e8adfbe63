import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = fileURLToPath(new URL('../../dist/', import.meta.url));

/**
 * Returns the Python of a virtual environment in dist/ that has exactly the packages of a requirements file. An
 * environment that has them already is used as it is. Throws an Error when Python's venv or the package index is missing.
 */
export function pythonWith(requirements: string, name: string): string {
  const venv = join(dist, name);
  const python = join(venv, 'bin', 'python');
  const installed = join(venv, 'requirements.txt');
  if (existsSync(installed) && readFileSync(installed, 'utf8') === readFileSync(requirements, 'utf8')) return python;
  rmSync(venv, { recursive: true, force: true });
  mkdirSync(venv, { recursive: true });
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', requirements];
  try {
    execFileSync('python3', ['-m', 'venv', venv], { stdio: 'inherit' });
    execFileSync(python, pip, { stdio: 'inherit' });
  } catch (cause) {
    throw new Error(`${name} could not be installed: this needs python3 3.11 or newer with venv, and PyPI`, { cause });
  }
  copyFileSync(requirements, installed);
  return python;
}
