import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Mocha from 'mocha';
import { throwBreaches } from '../contract.ts';
import { closeApps, removeDirectories } from '../helpers.ts';
import AbuseTable from './table.ts';

const usage = `npm run abuse -- [--full]

  --full   10,000 half-open connections instead of 3,000: the limit of open files must be above that (ulimit -n)
`;

const unknown = process.argv.slice(2).find((argument) => argument !== '--full');
if (unknown !== undefined) {
  process.stderr.write(unknown === '--help' ? usage : `${unknown} is no option\n\n${usage}`);
  process.exit(unknown === '--help' ? 0 : 1);
}
const mocha = new Mocha({ reporter: AbuseTable, timeout: 120_000 });
mocha.rootHooks({
  async afterEach() {
    await closeApps();
    throwBreaches();
  },
  afterAll: () => removeDirectories(),
});
const folder = fileURLToPath(new URL('.', import.meta.url));
for (const file of globSync('*.test.ts', { cwd: folder }).sort()) mocha.addFile(`${folder}${file}`);
await mocha.loadFilesAsync();
mocha.run((failures) => {
  process.exitCode = failures > 0 ? 1 : 0;
});
