import './machines/suites/cli.ts';
import './machines/suites/commands.ts';
import './machines/suites/copies.ts';
import './machines/suites/files.ts';
import './machines/suites/git.ts';
import './machines/suites/large.ts';
import './machines/suites/lifecycle.ts';
import './machines/suites/pause.ts';
import './machines/suites/pty.ts';
import './machines/suites/secure.ts';
import './machines/suites/streams.ts';
import './machines/suites/templates.ts';
import './machines/suites/urls.ts';
import './machines/suites/watch.ts';
import './machines/suites/write.ts';
import { requirePart, writePart } from '../docs/marked.ts';
import { cli, sdks } from './clients.ts';
import { stopServer } from './machines/serving.ts';
import { obstacle, target } from './machines/target.ts';
import { machines } from './record.ts';

const skipped = obstacle === null ? '' : ` (skipped: ${obstacle})`;

// One file imports them all, because the table needs the result of every test in one process.
describe(`E2B's clients on machines of ${target.title}${skipped}`, () => {
  after(stopServer);

  it('COMPATIBILITY.md has the table that these tests produce on an engine (npm run judge:machines)', function () {
    const clients = [...sdks.map(({ client }) => client), cli];
    if (!target.isEngine || !clients.every(machines.isComplete)) this.skip();
    if (process.env.TEST_WRITES === 'true') writePart(machines.part, machines.table());
    requirePart(machines.part, machines.table());
  });
});
