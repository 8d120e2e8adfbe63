import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { getRawAsset, isSea } from 'node:sea';

/** The files that the program needs besides its code, with their place in a checkout. */
const places = {
  'preact.mjs': () => inPackage('preact'),
  'hooks.mjs': () => inPackage('preact/hooks'),
  'htm.mjs': () => inPackage('htm', 'htm.mjs'),
  'uplot.mjs': () => inPackage('uplot', 'uPlot.esm.js'),
  'uplot.css': () => inPackage('uplot', 'uPlot.min.css'),
  'xterm.mjs': () => inPackage('@xterm/xterm', 'xterm.mjs'),
  'xterm.css': () => inPackage('@xterm/xterm', '../css/xterm.css'),
  'xterm-fit.mjs': () => inPackage('@xterm/addon-fit', 'addon-fit.mjs'),
  'openapi.yaml': () => new URL('../openapi.yaml', import.meta.url),
  'swagger-ui.css': () => inPackage('swagger-ui-dist/swagger-ui.css'),
  'swagger-ui-bundle.js': () => inPackage('swagger-ui-dist/swagger-ui-bundle.js'),
  'agent-x64': () => new URL('../app/machines/agent/built/agent-x64', import.meta.url),
  'code.py': () => new URL('../app/machines/code/programs/python.py', import.meta.url),
  'code.sh': () => new URL('../app/machines/code/programs/shell.sh', import.meta.url),
  'code.cjs': () => new URL('../app/machines/code/programs/node.cjs', import.meta.url),
  'scp.sh': () => new URL('../app/ssh/programs/scp.sh', import.meta.url),
  'agent-arm64': () => new URL('../app/machines/agent/built/agent-arm64', import.meta.url),
};

/** Files that only the executable has: `npm run package` creates them. */
type Embedded = 'openapi.json' | 'build.json' | 'better_sqlite3.node';

/** Returns whether this is the single executable, which embeds its files. */
export const isExecutable: () => boolean = isSea;

/** Returns the bytes of a file of the program, from the executable or the checkout. */
export function readAsset(name: keyof typeof places): Buffer {
  return isSea() ? readEmbedded(name) : readFileSync(places[name]());
}

/** The names of all such files, which `npm run package` embeds. */
export const assetPlaces: Record<string, () => URL | string> = places;

/** Where a checkout has the console's files. The executable embeds them as `console/NAME`. */
const consoleFolder = () => new URL('../app/console/page/', import.meta.url);

/**
 * Returns the names of the console's files, relative to its folder, with slashes. Only in a
 * checkout.
 */
export function consoleFiles(): string[] {
  return readdirSync(consoleFolder(), { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => /\.(ts|css)$/.test(name));
}

/** Returns the bytes of one of the console's files; null if it has none of this name. */
export function readConsoleFile(name: string): Buffer | null {
  try {
    return isSea() ? Buffer.from(getRawAsset(`console/${name}`)) : readFileSync(new URL(name, consoleFolder()));
  } catch {
    return null;
  }
}

/** Returns the bytes of a file embedded in the executable. Throws an Error in a checkout. */
export function readEmbedded(name: Embedded | keyof typeof places): Buffer {
  return Buffer.from(getRawAsset(name));
}

/** Returns the path of a package's main file, or of a file beside that. */
function inPackage(main: string, beside?: string): string {
  const file = createRequire(import.meta.url).resolve(main);
  return beside === undefined ? file : join(dirname(file), beside);
}
