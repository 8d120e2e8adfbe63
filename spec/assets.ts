import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { getRawAsset, isSea } from 'node:sea';

/** The files that the program needs besides its code, with their place in a checkout. */
const places = {
  'openapi.yaml': () => new URL('../openapi.yaml', import.meta.url),
  'swagger-ui.css': () => inPackage('swagger-ui-dist/swagger-ui.css'),
  'swagger-ui-bundle.js': () => inPackage('swagger-ui-dist/swagger-ui-bundle.js'),
  'agent-x64': () => new URL('../app/machines/agent/built/agent-x64', import.meta.url),
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

/** Returns the bytes of a file embedded in the executable. Throws an Error in a checkout. */
export function readEmbedded(name: Embedded | keyof typeof places): Buffer {
  return Buffer.from(getRawAsset(name));
}

function inPackage(file: string): string {
  return createRequire(import.meta.url).resolve(file);
}
