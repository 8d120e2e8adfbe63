import { enableCompileCache } from 'node:module';
import { isExecutable } from '../spec/assets.ts';
import { cacheFolder } from '../spec/cache.ts';

// Caches compiled code for the next start. The executable contains compiled code.
if (!isExecutable()) enableCompileCache(cacheFolder());

// With a handler for SIGXFSZ, a write beyond the limit on file sizes fails instead of ending the
// process.
if (process.platform !== 'win32') process.on('SIGXFSZ', () => {});

// Imported here, after the cache is on. The explicit exit ends the process even if a reader has
// stopped.
void import('./program.ts').then(async ({ main }) => process.exit(await main(process.argv)));
