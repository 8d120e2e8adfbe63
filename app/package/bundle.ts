import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { loadContract } from '../../spec/load.ts';
import { dist, root } from './platforms.ts';

/** The program as one file of JavaScript, and the contract parsed. */
export const bundled = { program: join(dist, 'sandpit.cjs'), contract: join(dist, 'openapi.json') };

/** Writes both into `dist`. */
export async function bundle(): Promise<void> {
  await build({
    entryPoints: [join(root, 'app/main.ts')],
    outfile: bundled.program,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    // Not the names: the validator's handlers are told apart by theirs.
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: 'none',
    // Only a checkout asks where its files are.
    define: { 'import.meta.url': '""' },
    logLevel: 'warning',
  });
  writeFileSync(bundled.contract, JSON.stringify(loadContract()));
}
