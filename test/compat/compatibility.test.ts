import './suites/cli.ts';
import './suites/e2b-create.ts';
import './suites/e2b-lifecycle.ts';
import './suites/e2b-list.ts';
import './suites/e2b-machine.ts';
import './suites/e2b-snapshots.ts';
import './suites/e2b-templates.ts';
import { requirePart } from '../docs/marked.ts';
import { cli, sdks } from './clients.ts';
import { records } from './record.ts';

// One file imports them all, because the table needs the result of every test in one process.
describe('the compatibility table', () => {
  it('COMPATIBILITY.md has the table that these tests produce (npm run compat writes it)', function () {
    const clients = [...sdks.map(({ client }) => client), cli];
    // A test that --grep left out, or that failed, is missing from the table.
    if (!clients.every(records.isComplete)) this.skip();
    requirePart(records.part, records.table());
  });
});
