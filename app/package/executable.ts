import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assetPlaces, consoleFiles } from '../../spec/assets.ts';
import { bundled } from './bundle.ts';
import { dist, hostPlatform, nodeBinary, nodeVersion, root, work } from './platforms.ts';

/**
 * Marks where Node looks for the injected program (Node's documentation, "Single executable
 * applications").
 */
const fuse = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

/** Builds the executable for a platform from the bundle; returns its path and size. */
export function buildExecutable(platform: string): { file: string; bytes: number } {
  const file = join(dist, `sandpit-${platform}${platform.startsWith('win') ? '.exe' : ''}`);
  const part = `${file}.part`;
  const blob = makeBlob(platform);
  copyFileSync(nodeBinary(platform), part);
  chmodSync(part, 0o755);
  const segment = platform.startsWith('darwin') ? ['--macho-segment-name', 'NODE_SEA'] : [];
  const inject = [packaged('postject/dist/cli.js'), part, 'NODE_SEA_BLOB', blob, '--sentinel-fuse', fuse, ...segment];
  // Hides warnings about unknown sections; an error includes the whole output.
  execFileSync(process.execPath, inject, { stdio: 'pipe' });
  renameSync(part, file);
  return { file, bytes: statSync(file).size };
}

/**
 * Returns the path of the file to inject. The Node version that will read it writes it, because the
 * format varies.
 */
function makeBlob(platform: string): string {
  const output = join(work, `${platform}.blob`);
  const config = join(work, `${platform}.json`);
  const build = join(work, 'build.json');
  const version = nodeVersion(platform);
  writeFileSync(build, JSON.stringify({ commit: commit() }));
  const assets = {
    ...embedded(),
    'openapi.json': bundled.contract,
    'build.json': build,
    'better_sqlite3.node': addon(platform),
  };
  // Compiled code works on one platform and version only.
  const useCodeCache = platform === hostPlatform && process.versions.node === version;
  const sea = { main: bundled.program, output, disableExperimentalSEAWarning: true, useCodeCache, assets };
  writeFileSync(config, JSON.stringify(sea));
  execFileSync(nodeBinary(hostPlatform, version), ['--experimental-sea-config', config], { stdio: 'pipe' });
  return output;
}

/** Returns the paths of the files that the program reads in a checkout, by their names. */
function embedded(): Record<string, string> {
  const files = Object.entries(assetPlaces).map(([name, place]) => [name, pathOf(place())]);
  const page = consoleFiles().map((name) => [`console/${name}`, join(root, 'app/console/page', name)]);
  return Object.fromEntries([...files, ...page]);
}

function pathOf(place: URL | string): string {
  return typeof place === 'string' ? place : fileURLToPath(place);
}

function addon(platform: string): string {
  return join(root, 'node_modules/better-sqlite3/prebuilds', `${platform.replace(/^win-/, 'win32-')}.node`);
}

function packaged(file: string): string {
  return createRequire(import.meta.url).resolve(file);
}

function commit(): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim();
    const isChanged = git('status', '--porcelain') !== '';
    return `${git('rev-parse', '--short=12', 'HEAD')}${isChanged ? ', changed' : ''}`;
  } catch {
    return 'unknown';
  }
}
