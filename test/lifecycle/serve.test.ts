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

  it('takes the container engine that it finds, and says why there are no microVMs', async function () {
    // The engine has a second to answer, which a busy machine may miss.
    this.retries(5);
    const engine = await startEngine();
    const flags = ['--machines', 'auto', '--msb', '/nowhere/msb', '--engine', engine];
    const server = await serve(['--db', db(), ...flags]);
    await until('the choice', () => /^Machines: /m.test(server.output.stderr), 4000);
    const text =
      /Machines: containers of .* 28\.1\.2 at \S+ \(no microVMs, because .+: see sandpit doctor --machines\)/;
    expect(server.output.stderr).to.match(text);
    expect(await server.stop()).to.equal(0);
  });

  itHere('says what it looked for when it keeps records only, and warns of machines that it leaves alone', async () => {
    const app = await startApp();
    const { id } = await app.addUser('alice');
    const { db: file } = app.server.context.config;
    const add = (driver: string) => {
      const row = { sandbox_id: newSandboxId(), owner_id: id, image: 'x', created_at: 0, is_ready: 1 as const, driver };
      return app.server.context.store.db.insertInto('machines').values(row).execute();
    };
    const started = async (flags: string[], pattern: RegExp) => {
      const server = await serve(['--db', file, '--msb', '/nowhere/msb', '--engine', 'unix:///nowhere.sock', ...flags]);
      await until('the text', () => pattern.test(server.output.stderr));
      expect(await server.stop()).to.equal(0);
    };
    await add('process');
    await app.close();
    const looked =
      /records only: no microVMs, because .+; no containers, because no container engine at unix:..\/nowhere/;
    await started(['--machines', 'auto'], looked);
    await started(
      [],
      /Warning: 1 machine of an earlier start is left alone, because this server keeps records only: --machines process/,
    );
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

  itHere('keeps with auto the engine of its machines, although it is away', async () => {
    const app = await startApp();
    const { id } = await app.addUser('alice');
    const row = { sandbox_id: newSandboxId(), owner_id: id, image: 'x', created_at: 0, is_ready: 1 as const };
    await app.server.context.store.db.insertInto('machines').values(row).execute();
    await app.close();
    const { db: file } = app.server.context.config;
    const server = await serve(['--db', file, '--machines', 'auto', '--engine', 'unix:///nowhere.sock']);
    await until('the warning', () => /Warning: sandboxes cannot be started: no container/.test(server.output.stderr));
    expect(await server.stop()).to.equal(0);
    const again = await startApp({ db: file });
    expect(await again.server.context.store.db.selectFrom('machines').selectAll().execute()).to.have.length(1);
  });
});
