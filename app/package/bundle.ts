import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';
import { loadContract } from '../../spec/load.ts';
import { root, work } from './platforms.ts';

/** The bundle's files: the program in one JavaScript file, and the parsed contract. */
export const bundled = { program: join(work, 'sandpit.cjs'), contract: join(work, 'openapi.json') };

/**
 * Packages that others load and only need for what Sandpit does not do: dockerode for building
 * images, ssh2 to ask what the processor can, the request validator to take files and to follow
 * references between documents.
 */
const unused = [
  ...['@grpc/grpc-js', '@grpc/proto-loader', 'protobufjs', 'tar-fs', '@balena/dockerignore'],
  ...['cpu-features', 'multer', '@apidevtools/json-schema-ref-parser'],
];

/** Options of esbuild that put the program into one file. */
export const inOneFile = {
  entryPoints: [join(root, 'app/main.ts')],
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  // The request validator identifies its handlers by their function names.
  keepNames: true,
  // ssh2's addon, without which it uses node:crypto.
  external: ['./crypto/build/Release/sshcrypto.node'],
  legalComments: 'none',
  alias: Object.fromEntries(unused.map((name) => [name, join(root, 'app/package/unused.cjs')])),
  // Node hides deprecation warnings of packages, but cannot recognize packages in a bundle.
  banner: { js: 'process.noDeprecation = true;' },
  logLevel: 'warning',
} satisfies BuildOptions;

/** Writes the bundle. */
export async function bundle(): Promise<void> {
  mkdirSync(work, { recursive: true });
  await build({
    ...inOneFile,
    outfile: bundled.program,
    minifyWhitespace: true,
    minifySyntax: true,
    // Only a checkout looks for files beside its code.
    define: { 'import.meta.url': '""' },
  });
  writeFileSync(bundled.contract, JSON.stringify(loadContract()));
}
