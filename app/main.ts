import { enableCompileCache } from 'node:module';
import { isExecutable } from '../spec/assets.ts';
import { cacheFolder } from '../spec/cache.ts';

// Keeps what Node compiles for the next start. The executable is compiled already.
if (!isExecutable()) enableCompileCache(cacheFolder());

// With a limit on the size of files, a write past it fails rather than ends the process.
if (process.platform !== 'win32') process.on('SIGXFSZ', () => {});

// Imported only now, for the cache to hold it. Exits here: a reader that stands still would keep the process.
void import('./program.ts').then(async ({ main }) => process.exit(await main(process.argv)));
