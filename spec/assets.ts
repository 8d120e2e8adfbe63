import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { getRawAsset, isSea } from 'node:sea';

/** The files that the program needs beside its code, by where they stand in a checkout. */
const places = {
  'openapi.yaml': () => new URL('../openapi.yaml', import.meta.url),
  'swagger-ui.css': () => inPackage('swagger-ui-dist/swagger-ui.css'),
  'swagger-ui-bundle.js': () => inPackage('swagger-ui-dist/swagger-ui-bundle.js'),
};

/** What only the executable has: what `npm run package` makes of these files. */
type Embedded = 'openapi.json' | 'build.json' | 'better_sqlite3.node';

/** Returns whether this is the executable, which carries its files in itself. */
export const isExecutable: () => boolean = isSea;

/** Returns the bytes of a file that belongs to the program, wherever that keeps it. */
export function readAsset(name: keyof typeof places): Buffer {
  return isSea() ? readEmbedded(name) : readFileSync(places[name]());
}

/** Returns the bytes of a file that only the executable has. Throws an Error elsewhere. */
export function readEmbedded(name: Embedded | keyof typeof places): Buffer {
  return Buffer.from(getRawAsset(name));
}

function inPackage(file: string): string {
  return createRequire(import.meta.url).resolve(file);
}
