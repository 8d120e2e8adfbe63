import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { loadContract } from '../../spec/load.ts';
import { root, work } from './platforms.ts';

/** The program as one file of JavaScript, and the contract parsed. */
export const bundled = { program: join(work, 'sandpit.cjs'), contract: join(work, 'openapi.json') };

/** Writes both. */
export async function bundle(): Promise<void> {
  mkdirSync(work, { recursive: true });
  await build({
    entryPoints: [join(root, 'app/main.ts')],
    outfile: bundled.program,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    minifyWhitespace: true,
    minifySyntax: true,
    // The validator's handlers are told apart by their names.
    keepNames: true,
    legalComments: 'none',
    // Only a checkout asks where its files are.
    define: { 'import.meta.url': '""' },
    // Node doesn't warn of what packages do, but can't tell them apart in a bundle.
    banner: { js: 'process.noDeprecation = true;' },
    logLevel: 'warning',
  });
  writeFileSync(bundled.contract, JSON.stringify(loadContract()));
}
