import { request } from 'node:http';
import { join } from 'node:path';
import { expect } from 'chai';
import { createProcessDriver } from '../../app/machines/process/driver.ts';
import { type Instavm, startInstavm } from '../helpers/clients/instavm-client.ts';
import { itWithPython } from '../helpers/python.ts';
import { temporaryDirectory } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';

type Result = { stdout: string; stderr: string; exit_code: number; execution_time: number; cpu_time: number | null };

describe("InstaVM's execute in a machine", () => {
  let { app, alice, bob, get, post, remove } = {} as Instavm;
  beforeEach(async () => {
    ({ app, alice, bob, get, post, remove } = await startInstavm({ machines: 'process' }));
  });

  const start = async (body: object = {}) =>
    (await app.http.post('/v1/sessions/session').send({ api_key: alice.key, ...body })).body.session_id as string;
  const execute = async (session_id: string, command: string, more: object = {}): Promise<Result> => {
    const { status, body } = await post('/execute', { session_id, command, ...more });
    expect(status, body.detail).to.equal(200);
    return body;
  };
  const bash = (session: string, command: string, more: object = {}) =>
    execute(session, command, { language: 'bash', ...more });
  const vmOf = async (session: string) => (await get(`/v1/sessions/status/${session}`)).body.vm_id as string;

  it('runs scripts, each in a shell of its own, and tells how they end', async () => {
    const session = await start({ env: { OWN: 'é' } });
    const { execution_time: time, ...said } = await bash(session, 'cd /; echo "$OWN"; echo err >&2; exit 3');
    expect(said).to.deep.equal({ stdout: 'é\n', stderr: 'err\n', exit_code: 3, cpu_time: null });
    expect(time).to.be.within(0, 60);
    expect((await bash(session, 'kill -9 $$')).exit_code).to.equal(137);
    const both = await Promise.all([
      bash(session, 'until [ -e go ]; do sleep 0.01; done; echo a'),
      bash(session, 'touch go'),
    ]);
    expect(both.map(({ exit_code: code }) => code)).to.deep.equal([0, 0]);
    expect((await bash(session, 'printf "a\\"\\\\\\\\\\n\\u2028"')).stdout).to.equal('a"\\\n\u2028');
  });

  it('keeps the variables of code, and shows values and errors as a terminal does', async () => {
    const session = await start();
    const js = (code: string) => execute(session, code, { language: 'javascript' });
    const first = await js('var x = 5; console.log("out"); x');
    expect(first).to.include({ stdout: 'out\n5\n', stderr: '', exit_code: 0 });
    expect(first.cpu_time).to.be.within(0, 60);
    const failed = await js('x * 2; throw new Error("bad")');
    expect([failed.stdout, failed.exit_code]).to.deep.equal(['', 1]);
    expect(failed.stderr).to.match(/^Error: bad\n/);
    expect(await js('process.exit(4)')).to.include({ exit_code: 4 });
  });

  itWithPython('runs Python as a notebook does', async () => {
    const session = await start();
    const first = await execute(session, 'x = 5\nprint("out")\n!echo shell; echo err >&2\nx * 2');
    expect(first).to.include({ stdout: 'out\nshell\n10\n', stderr: 'err\n', exit_code: 0 });
    const failed = await execute(session, 'x / 0');
    expect([failed.stdout, failed.exit_code]).to.deep.equal(['', 1]);
    expect(failed.stderr).to.match(/ZeroDivisionError: division by zero\n$/);
    expect(await execute(session, 'import sys; sys.exit(3)')).to.include({ exit_code: 3 });
    expect((await execute(session, 'await __import__("asyncio").sleep(0)\nx')).stdout).to.equal('5\n');
  });

  it('ends code whose timeout is nearly over, and answers in time', async () => {
    const session = await start();
    for (const [language, code] of [
      ['bash', 'echo begun; sleep 1000'],
      ['javascript', 'console.log("begun"); while (true);'],
    ]) {
      const {
        stdout,
        stderr,
        exit_code: exit,
        execution_time: time,
      } = await execute(session, code as string, { language, timeout: 1 });
      expect([stdout, exit]).to.deep.equal(['begun\n', 124]);
      expect(stderr).to.contain('its timeout of 1 s was over');
      // The client gives up after a second. How much earlier depends on how busy this machine is.
      expect(time).to.be.at.least(0.7);
    }
    expect((await bash(session, 'echo on')).stdout).to.equal('on\n');
  });

  it('a session outlives its machine: the next code starts another one like it', async () => {
    const body = { vm_lifetime_seconds: 20, metadata: { a: 1.0 }, env: { OWN: 'x' }, memory_mb: 1024 };
    const session = await start(body);
    const first = await vmOf(session);
    await bash(session, 'touch file');
    app.clock.now += 20_000;
    const both = await Promise.all([1, 2].map(() => bash(session, 'ls; echo $OWN')));
    expect(both.map(({ stdout }) => stdout)).to.deep.equal(['x\n', 'x\n']);
    const second = await vmOf(session);
    expect(second).not.to.equal(first);
    const { body: vm } = await get(`/v1/vms/${second}`);
    expect(vm).to.deep.include({ session_id: session, metadata: { a: 1 }, memory_mb: 1024, status: 'active' });
    expect(Date.parse(vm.expires_at) - app.clock.now).to.equal(20_000);
    await remove(`/v1/vms/${second}`);
    expect((await bash(session, 'echo third')).stdout).to.equal('third\n');
  });

  it("403: an unknown session, someone else's, or a suspended sandbox", async () => {
    const session = await start();
    const refused = async (session_id: string, caller = alice) => {
      const { status, body } = await post('/execute', { session_id, command: '1', language: 'bash' }, caller);
      return [status, body.detail];
    };
    const nobody = '00000000-0000-4000-8000-000000000000';
    expect(await refused(nobody)).to.deep.equal([403, `There is no session ${nobody}`]);
    expect(await refused(session, bob)).to.deep.equal([403, `There is no session ${session}`]);
    const vm = await vmOf(session);
    await post(`/v1/vms/${vm}/suspend`);
    expect(await refused(session)).to.deep.equal([
      403,
      `The sandbox ${vm} is suspended: resume it first with POST /v1/vms/${vm}/resume`,
    ]);
    await post(`/v1/vms/${vm}/resume`);
    expect((await bash(session, 'echo on')).stdout).to.equal('on\n');
  });

  it('runs no code for a client that has left while the sandbox was resumed', async () => {
    const machines = createProcessDriver({ instance: 'x', db: join(temporaryDirectory(), 'sandpit.db') });
    const begun = Promise.withResolvers<void>();
    const gate = Promise.withResolvers<void>();
    const resume = async (id: string, signal: AbortSignal) => {
      begun.resolve();
      await gate.promise;
      await machines.constructor.prototype.resume.call(machines, id, signal);
    };
    const own = await startInstavm({ machines: 'process', port: 0 }, Object.assign(machines, { resume }));
    const { vm_id: vm, session_id } = (await own.post('/v1/vms', { auto_resume: true })).body;
    await own.post(`/v1/vms/${vm}/suspend`);
    const url = new URL('/execute', await own.app.server.start());
    const headers = { 'X-API-Key': own.alice.key, 'Content-Type': 'application/json' };
    const asked = request(url, { method: 'POST', headers, agent: false });
    asked.on('error', () => {});
    asked.end(JSON.stringify({ session_id, command: 'touch ran', language: 'bash' }));
    await begun.promise;
    asked.destroy();
    await own.app.logged(/"route":"\/execute"/);
    gate.resolve();
    const { body } = await own.post('/execute', { session_id, command: 'ls', language: 'bash' });
    expect([body.stdout, body.exit_code]).to.deep.equal(['', 0]);
  });

  it('code, commands and terminals get variables that were staged', async () => {
    const session_id = await start({ env: { A: 'own' } });
    const vm = await vmOf(session_id);
    const stage = (entries: object[], caller = alice) => post(`/v1/vms/${vm}/stage-env`, { entries }, caller);
    const { body } = await stage([
      { env_name: 'A', value: 'é' },
      { env_name: 'B', value: '$x' },
    ]);
    expect(body).to.deep.equal({ status: 'ok', staged: ['A', 'B'] });
    expect((await bash(session_id, 'echo "$A$B"')).stdout).to.equal('é$x\n');
    expect((await execute(session_id, 'process.env.B', { language: 'javascript' })).stdout).to.equal('$x\n');
    expect((await stage([{ env_name: 'A', value: '' }], bob)).status).to.equal(403);
    expect((await stage([{ env_name: 'C', value: 'x'.repeat(300_000) }])).status).to.equal(403);
    expect((await stage([{ env_name: 'A=', value: '' }])).status).to.equal(422);
  });

  it('422: code is required, and its language is known', async () => {
    const session_id = await start();
    const missing = await post('/execute', { session_id });
    expect([missing.status, missing.body.detail[0].loc]).to.deep.equal([422, ['body', 'command']]);
    expect((await post('/execute', { session_id, command: '1', language: 'cobol' })).status).to.equal(422);
    expect((await post('/execute_async', { session_id })).status).to.equal(422);
    expect((await post('/execute', { session_id, command: '1', vault_ids: ['v'] })).status).to.equal(501);
  });

  it('429: more than 32 pieces of code for one context', async () => {
    const session_id = await start();
    const code = { session_id, command: 'await new Promise((done) => setTimeout(done, 500))', language: 'javascript' };
    const all = await Promise.all(Array.from({ length: 33 }, () => post('/execute', { ...code, timeout: 1 })));
    expect(all.map(({ status }) => status)).to.include(429);
  });

  describe('in the background', () => {
    const begin = async (session_id: string, command: string, more: object = {}) =>
      (await post('/execute_async', { session_id, command, language: 'bash', ...more })).body.task_id as string;
    const ended = async (task: string) => {
      let found = await get(`/v1/executions/${task}`);
      await until('the execution ends', async () => {
        found = await get(`/v1/executions/${task}`);
        return found.body.is_complete;
      });
      return found.body;
    };

    it('keeps the results', async () => {
      const session = await start();
      const task = await begin(session, 'until [ -e go ]; do sleep 0.01; done; echo out; echo err >&2; exit 3');
      const waiting = (await get(`/v1/executions/${task}`)).body;
      expect(waiting).to.include({ task_id: task, is_complete: false, serialized_stdout: '', exit_code: null });
      await bash(session, 'touch go');
      const { execution_time: time, ...said } = await ended(task);
      expect(said).to.deep.equal({
        task_id: task,
        is_complete: true,
        serialized_stdout: 'out\n',
        serialized_stderr: 'err\n',
        exit_code: 3,
        cpu_time: null,
        created_at: new Date(app.clock.now).toISOString(),
      });
      expect(time).to.be.above(0);
      expect((await get(`/v1/executions/${task}`, bob)).status).to.equal(404);
    });

    it('leaves out what is long, and says so; ends what takes too long', async () => {
      const session = await start();
      const [long, slow] = [
        await begin(session, 'yes | head -c 600000'),
        await begin(session, 'sleep 1000', { timeout: 1 }),
      ];
      const { serialized_stdout: text } = await ended(long);
      expect(text.length).to.be.within(524_288, 524_500);
      expect(text).to.contain('[75712 more characters were left out');
      expect(await ended(slow)).to.include({ exit_code: 124 });
    });

    it('a machine that ends ends its code; more than 32 at once are refused', async () => {
      const session = await start();
      const tasks = await Promise.all(Array.from({ length: 32 }, () => begin(session, 'sleep 1000')));
      const refused = await post('/execute_async', { session_id: session, command: 'true', language: 'bash' });
      expect([refused.status, refused.body.detail]).to.deep.equal([
        403,
        'The sandbox runs 32 pieces of code in the background: wait for some',
      ]);
      await remove(`/v1/vms/${await vmOf(session)}`);
      for (const task of tasks) expect(await ended(task)).to.include({ exit_code: -1 });
    });
  });
});

describe("InstaVM's execute with records only", () => {
  it('501, with the reason', async () => {
    const { post, get } = await startInstavm();
    const body = { session_id: '00000000-0000-4000-8000-000000000000', command: '1' };
    for (const path of ['/execute', '/execute_async']) {
      const { status, body: said } = await post(path, body);
      expect([status, said.detail]).to.deep.equal([
        501,
        'Sandpit keeps the record of sandboxes and runs no machines: it executes no commands, and has no files, terminals, shared ports, egress policies and staged variables, unless it is started with --machines',
      ]);
    }
    expect((await get('/v1/executions/x')).status).to.equal(501);
    expect((await post('/v1/vms/x/stage-env', { entries: [] })).status).to.equal(501);
  });
});
