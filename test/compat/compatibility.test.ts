import { readFileSync } from 'node:fs';
import './suites/cli.ts';
import './suites/e2b-create.ts';
import './suites/e2b-lifecycle.ts';
import './suites/e2b-list.ts';
import './suites/e2b-machine.ts';
import './suites/e2b-snapshots.ts';
import { cli, sdks } from './clients.ts';
import { isComplete, table } from './record.ts';

const readme = new URL('../../README.md', import.meta.url);
const marked = /<!-- compatibility: npm run compat -->\n(.*?)<!-- end -->/s;

// One file imports them all, because the table needs the result of every test in one process.
describe('the compatibility table', () => {
  it('README.md carries the table that these tests make', function () {
    const clients = [...sdks.map(({ client }) => client), cli];
    // A test that --grep left out, or that failed, is missing in the table.
    if (!clients.every(isComplete)) this.skip();
    const [, carried] = marked.exec(readFileSync(readme, 'utf8')) ?? [];
    if (carried?.trim() !== table()) throw new Error(`README.md carries another table than this:\n\n${table()}\n`);
  });
});
