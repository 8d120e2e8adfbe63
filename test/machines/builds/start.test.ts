import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { runCommand } from '../../../app/machines/setup/command.ts';
import { startSetup } from '../../../app/machines/setup/start.ts';
import { noSetup } from '../../../db/machines/setup.ts';
import { putTemplate } from '../../../db/machines/templates.ts';
import { inTransaction } from '../../../db/store.ts';
import { run } from '../../helpers/clients/connect-client.ts';
import { type E2b, e2bOf } from '../../helpers/clients/e2b-client.ts';
import type { Machine } from '../../helpers/clients/machine-client.ts';
import { type Caller, itHere, startApp, type TestApp } from '../../helpers/server.ts';
import { until } from '../../helpers/until.ts';
import { buildTemplate, step } from './templates.ts';

const signal = new AbortController().signal;

describe('start and ready commands of templates', () => {
  let app: TestApp;
  let alice: Caller;
  let e2b: E2b;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    app = await startApp({ machines: 'process', port: 0 });
    alice = await app.addUser('alice');
    e2b = e2bOf(app, alice);
  });

  const agentOf = async (id: string) => (await app.server.context.machines?.agentOf(id)) as never;
  async function printed(id: string, text: string): Promise<string> {
    let output = '';
    const command = { text, user: '', cwd: '', env: {} };
    const receive = (_source: string, bytes: Buffer) => {
      output += bytes;
    };
    await runCommand(await agentOf(id), command, receive, signal);
    return output;
  }

  itHere('run in each sandbox of a template, in its copies, and again after a stop', async () => {
    const startCmd = 'echo start >> ~/starts; sleep 0.2; echo up-$A > ~/up; exec sleep 1000';
    const readyCmd = 'test -e ~/up';
    const { build, text } = await buildTemplate(app, alice, [step('ENV', 'A', 'a')], { startCmd, readyCmd });
    expect(build.reason, text).to.equal(null);
    expect(text).to.contain('Running the start command').and.contain('Waiting until this succeeds: test -e');
    const id = await e2b.create({ templateID: 'mine' });
    const state = 'cat ~/starts ~/up; rm ~/up; pgrep -f "slee[p] 1000" | wc -l';
    expect(await printed(id, state)).to.match(/^start\nup-a\n\d+\n$/);
    expect(await e2b.does(id, 'pause', { memory: false })).to.equal(204);
    expect(await e2b.does(id, 'resume', { timeout: 60 })).to.equal(201);
    // Without this file copies are ready only once their own start command has run.
    expect(await printed(id, 'cat ~/starts ~/up; rm ~/up')).to.equal('start\nstart\nup-a\n');
    const snapshot = await e2b.post(`/sandboxes/${id}/snapshots`, { name: 'later' });
    const copy = await e2b.create({ templateID: snapshot.body.snapshotID });
    expect(await printed(copy, 'cat ~/starts ~/up')).to.equal('start\nstart\nstart\nup-a\n');
    const forked = await e2b.post(`/sandboxes/${id}/fork`, { count: 1 });
    const [{ sandbox }] = forked.body;
    expect(await printed(sandbox.sandboxID, 'wc -l < ~/starts')).to.match(/^ *3\n$/);
  });

  itHere('a start command that fails, or is never ready, fails the build and the create in words', async () => {
    const failing = await buildTemplate(app, alice, [], { startCmd: 'echo no such port; exit 3' });
    expect(failing.build).to.include({ status: 'error', failedStep: 'finalize' });
    expect(failing.build.reason).to.match(/^The start command of the template failed: no such port/);
    const template = { name: 'broken', image: 'x', allowsSudo: false, runtime: null };
    const setup = { ...noSetup, startCmd: 'echo broken; exit 4', readyCmd: 'sleep 0.05; false' };
    const { db } = app.server.context.store;
    await inTransaction(db, (trx) => putTemplate(trx, 0, { ...template, setup }, { mayReplace: false }));
    const refused = await e2b.post('/v2/sandboxes', { templateID: 'broken' });
    expect([refused.status, refused.body.message]).to.deep.equal([
      500,
      'The start command of the template failed: broken\nThe start command of the template ended with exit code 4',
    ]);
    await until('the removal', async () => (await db.selectFrom('machines').select('image').execute()).length === 0);
    const id = await e2b.create();
    for (const [readyCmd, words] of [
      ['echo not yet; exit 5', /did not succeed within 0 s: it last ended with exit code 5: not yet$/],
      ['sleep 1000', /did not succeed within 0 s: /],
    ] as const) {
      const limits = { readyMilliseconds: 200, signal };
      const error = await startSetup(await agentOf(id), { ...noSetup, readyCmd }, limits).catch((caught) => caught);
      expect(error).to.include({ code: 'timeout' });
      expect(error.message).to.match(words);
    }
  });

  itHere('the user and the directory of a template are the defaults of commands; its variables are not', async () => {
    const steps = [step('ENV', 'A', 'a'), step('WORKDIR', `${app.dir}/work`), step('USER', 'root')];
    const { build } = await buildTemplate(app, alice, [...steps, step('RUN', 'echo $A > file')]);
    expect(build.reason).to.equal(null);
    expect(readFileSync(`${app.dir}/work/file`, 'utf8')).to.equal('a\n');
    const created = await e2b.post('/v2/sandboxes', { templateID: 'mine' });
    const { sandboxID, envdAccessToken } = created.body;
    const headers = { 'E2b-Sandbox-Id': sandboxID, 'X-Access-Token': envdAccessToken };
    const machine = { url: await app.server.start(), headers } as Partial<Machine> as Machine;
    const { stdout } = await run(machine, 'pwd; echo $USER $A');
    expect(stdout).to.equal(`${app.dir}/work\nroot\n`);
  });
});
