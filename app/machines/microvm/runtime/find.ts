import { accessSync, constants, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, isAbsolute, join } from 'node:path';

/** npm's packages that hold the program, by platform and processor. */
const packages: Record<string, string> = {
  'linux x64': '@superradcompany/microsandbox-linux-x64-gnu',
  'linux arm64': '@superradcompany/microsandbox-linux-arm64-gnu',
  'darwin arm64': '@superradcompany/microsandbox-darwin-arm64',
};

/**
 * Returns the path of microsandbox's program `msb`, or null. Looks only at the setting if there is
 * one, else in PATH, then in npm's package.
 */
export function findMsb(setting: string | undefined, env: NodeJS.ProcessEnv): string | null {
  if (setting !== undefined) return isProgram(setting) ? setting : null;
  const inPath = (env.PATH ?? '').split(delimiter).filter((folder) => isAbsolute(folder));
  const candidates = [...inPath.map((folder) => join(folder, 'msb')), ...inPackage()];
  return candidates.find(isProgram) ?? null;
}

function inPackage(): string[] {
  const name = packages[`${process.platform} ${process.arch}`];
  if (name === undefined) return [];
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    return [join(dirname(manifest), 'bin', 'msb')];
  } catch {
    // The package is not installed, or this is the executable, which has no packages.
    return [];
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
