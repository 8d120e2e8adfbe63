import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { inOneFile } from '../../../app/package/bundle.ts';
import { cacheFolder } from '../../../spec/cache.ts';

/**
 * Lets the processes that tests start run the program from one file, because Node needs two thirds
 * of a short process for finding and loading hundreds. Returns a function that removes the file.
 */
export async function bundleForTests(): Promise<() => void> {
  // Inside node_modules, so that the program finds its native addon.
  mkdirSync(cacheFolder(), { recursive: true });
  const folder = mkdtempSync(join(cacheFolder(), 'test-'));
  const outfile = join(folder, 'sandpit.cjs');
  await build({ ...inOneFile, outfile, external: ['better-sqlite3'], plugins: [ownUrls] });
  process.env.TEST_PROGRAM = outfile;
  return () => rmSync(folder, { recursive: true, force: true });
}

/** Each module keeps its own address, beside which it looks for files. */
const ownUrls: Plugin = {
  name: 'own-urls',
  setup: ({ onLoad }) => {
    onLoad({ filter: /\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href)),
      loader: 'ts',
    }));
  },
};
