import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { cli, sdks } from './clients.ts';
import { isComplete, table } from './record.ts';

const readme = new URL('../../README.md', import.meta.url);
const marked = /<!-- compatibility: npm run compat -->\n(.*?)<!-- end -->/s;

describe('the compatibility table', () => {
  it('README.md carries this very table', function () {
    const clients = [...sdks.map(({ client }) => client), cli];
    // What was left out, by --grep for one, or has failed, isn't in the table.
    if (!isEveryFileLoaded(this.test?.parent?.parent) || !clients.every(isComplete)) this.skip();
    const [, carried] = marked.exec(readFileSync(readme, 'utf8')) ?? [];
    if (carried?.trim() !== table()) throw new Error(`README.md carries another table than this:\n\n${table()}\n`);
  });
});

function isEveryFileLoaded(root: Mocha.Suite | undefined): boolean {
  const loaded = new Set(root?.suites.map(({ file }) => file));
  const directory = new URL('.', import.meta.url);
  const files = readdirSync(directory).filter((name) => name.endsWith('.test.ts'));
  return files.every((name) => loaded.has(fileURLToPath(new URL(name, directory))));
}
