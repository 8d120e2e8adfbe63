import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect } from 'chai';
import { closeNow, listen } from '../helpers/listen.ts';
import { start } from '../helpers/processes/process.ts';
import { itHere } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';
import { type Builds, type Requested, startBuilds } from './setup.ts';

const name = 'code-interpreter-v1';

type Ended = { code: number | null; stderr: string };

describe('sandpit templates build', () => {
  let one = {} as Builds;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    one = await startBuilds();
  });

  const templateOf = async () => (await one.e2b.get(`/templates/${name}`)).body;

  itHere('ended by Ctrl-C gives up the build of a new template, and leaves nothing behind', async () => {
    const { code, stderr } = await interrupted(one);
    expect([code, stderr]).to.deep.equal([130, 'The build was given up.\n']);
    expect(one.cancelled).to.deep.equal(one.started);
    expect((await one.e2b.get(`/templates/${name}`)).status).to.equal(404);
  });

  itHere('ended by Ctrl-C gives up another attempt at what has only failed so far', async () => {
    await one.fail(await begun(one));
    const { stderr } = await interrupted(one);
    expect(stderr).to.equal('The build was given up.\n');
    expect((await one.e2b.get(`/templates/${name}`)).status).to.equal(404);
  });

  itHere('ended by Ctrl-C keeps a template that is older than the build', async () => {
    await one.finish(await begun(one));
    const { code, stderr } = await interrupted(one);
    expect(code).to.equal(130);
    expect(stderr).to.match(/^The build goes on: /);
    expect(await templateOf()).to.deep.include({ buildStatus: 'ready', aliases: [name] });
    expect(one.cancelled).to.deep.equal([]);
  });

  itHere('ended by Ctrl-C keeps another build of the template that is under way', async () => {
    const other = await begun(one);
    const { stderr } = await interrupted(one);
    expect(stderr).to.match(/^The build goes on: /);
    expect((await one.statusOf(other)).body.status).to.equal('building');
  });

  itHere('shows all that a failed build said, and names the step', async () => {
    const lines = Array.from({ length: 250 }, (_, n) => ({ message: `line ${n}`, step: '3' }));
    const { code, stderr } = await ended(one, async (_child, buildID) => {
      await one.say({ buildID } as Requested, lines);
      await one.fail({ buildID } as Requested, '3');
    });
    const shown = lines.map(({ message }) => `${message}\n`).join('');
    expect(code).to.equal(1);
    expect(stderr).to.equal(`${shown}sandpit: the build failed at step 3: no such file\n`);
  });
});

async function begun(one: Builds): Promise<Requested> {
  const build = await one.request(name);
  expect(await one.start(build)).to.equal(202);
  return build;
}

function interrupted(one: Builds): Promise<Ended> {
  return ended(one, (child) => void child.kill('SIGINT'));
}

/** Builds the template to the end of the command. Calls `act` once the server has begun. */
async function ended(
  { app, alice, started }: Builds,
  act: (child: ChildProcess, buildId: string) => void | Promise<void>,
): Promise<Ended> {
  const server = createServer(app.listener);
  const url = `http://127.0.0.1:${await listen(server)}`;
  const before = started.length;
  const args = ['templates', 'build', 'code-interpreter', '--url', url];
  const child = start(args, { env: { SANDPIT_API_KEY: alice.key }, cwd: '/' });
  const closed = once(child, 'close');
  let stderr = '';
  child.stderr?.on('data', (text) => {
    stderr += text;
  });
  await until('the build has begun', () => started.length > before);
  await act(child, started[before] as string);
  const [code] = await closed;
  closeNow(server);
  return { code, stderr };
}
