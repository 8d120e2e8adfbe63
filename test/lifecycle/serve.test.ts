import { createServer } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import { newSandboxId } from '../../db/sandboxes/insert.ts';
import { listen } from '../helpers/listen.ts';
import { sandpit, serve } from '../helpers/processes/process.ts';
import { itHere, startApp, temporaryDirectory } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';

/** Answers as a container engine does, so far as the start-up text asks. */
async function startEngine(): Promise<string> {
  const server = createServer((req, res) => {
    const isVersion = /\/version$/.test(req.url ?? '');
    const body = { Version: '28.1.2', ApiVersion: '1.49', MinAPIVersion: '1.24', Os: 'linux', Arch: 'amd64' };
    res.writeHead(200, { 'Content-Type': 'application/json', 'Api-Version': '1.49' });
    res.end(isVersion ? JSON.stringify(body) : 'OK');
  });
  const port = await listen(server);
  server.unref();
  return `tcp://127.0.0.1:${port}`;
}

describe('serve and machines', () => {
  const db = () => join(temporaryDirectory(), 'sandpit.db');

  it('names the engine that was found, and how to use it', async function () {
    // The engine has a second to answer, which a busy machine may miss.
    this.retries(5);
    const engine = await startEngine();
    const server = await serve(['--db', db(), '--engine', engine]);
    await until('the offer', () => /records only/.test(server.output.stderr), 4000);
    expect(server.output.stderr).to.match(/28\.1\.2 .*was found: sandpit serve --machines docker runs them/);
    expect(await server.stop()).to.equal(0);
  });

  it('warns that commands of the driver for tests are not isolated, and keeps it from the network', async () => {
    const server = await serve(['--db', db(), '--machines', 'process']);
    await until('the warning', () => /Warning: --machines process/.test(server.output.stderr));
    expect(await server.stop()).to.equal(0);
    const open = await sandpit(['serve', '--db', db(), '--port', '0', '--machines', 'process', '--host', '0.0.0.0']);
    expect([open.code, open.stderr]).to.deep.equal([
      1,
      'sandpit: --machines process runs commands on this machine without isolation, so it listens on loopback only (127.0.0.1 or ::1), not on 0.0.0.0: use --machines docker\n',
    ]);
  });

  it('says that the engine does not answer, and serves', async () => {
    const server = await serve(['--db', db(), '--machines', 'docker', '--engine', 'unix:///nowhere/docker.sock']);
    await until('the warning', () => /Warning: sandboxes cannot be started/.test(server.output.stderr));
    expect((await fetch(`${server.url}/health`)).status).to.equal(200);
    expect(await server.stop()).to.equal(0);
  });

  it('refuses machines on a test server', async () => {
    const { code, stderr } = await sandpit(['serve', '--test', '--machines', 'docker']);
    expect([code, stderr]).to.deep.equal([
      1,
      'sandpit: --test keeps records only: leave out --machines and SANDPIT_MACHINES (here docker)\n',
    ]);
  });

  itHere('leaves the machines of an earlier start alone, and says so', async () => {
    const app = await startApp();
    const { id } = await app.addUser('alice');
    const row = { sandbox_id: newSandboxId(), owner_id: id, image: 'x', created_at: 0, is_ready: 1 as const };
    await app.server.context.store.db.insertInto('machines').values(row).execute();
    await app.close();
    const server = await serve(['--db', app.server.context.config.db]);
    await until('the warning', () => /Warning: 1 machines? of an earlier start/.test(server.output.stderr));
    expect(await server.stop()).to.equal(0);
    const again = await startApp({ db: app.server.context.config.db });
    expect(await again.server.context.store.db.selectFrom('machines').selectAll().execute()).to.have.length(1);
  });
});
