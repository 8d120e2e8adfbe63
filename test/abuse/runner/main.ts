import { globSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Mocha from 'mocha';
import { throwBreaches } from '../../helpers/contract.ts';
import { closeApps, removeDirectories } from '../../helpers/server.ts';
import AbuseTable from './table.ts';

const usage = `npm run abuse -- [--full] [--grep=TEXT]

  --full        10,000 half-open connections instead of 3,000: the limit of open files must be above that (ulimit -n);
                and an owner of 100,000 sandboxes instead of 20,000
  --grep=TEXT   only the cases with this in their name
`;

const isKnown = (argument: string) => argument === '--full' || argument.startsWith('--grep=');
const unknown = process.argv.slice(2).find((argument) => !isKnown(argument));
if (unknown !== undefined) {
  process.stderr.write(unknown === '--help' ? usage : `${unknown} is no option\n\n${usage}`);
  process.exit(unknown === '--help' ? 0 : 1);
}
const mocha = new Mocha({ reporter: AbuseTable, timeout: 600_000 });
const wanted = process.argv.find((argument) => argument.startsWith('--grep='));
if (wanted) mocha.grep(wanted.slice('--grep='.length));
mocha.rootHooks({
  async afterEach() {
    await closeApps();
    throwBreaches();
  },
  afterAll: () => removeDirectories(),
});
const folder = fileURLToPath(new URL('..', import.meta.url));
for (const file of globSync('*.test.ts', { cwd: folder }).sort()) mocha.addFile(`${folder}${file}`);
await mocha.loadFilesAsync();
mocha.run((failures) => {
  process.exitCode = failures > 0 ? 1 : 0;
});
