import { expect } from 'chai';
import { call, open, pidOf, run, shows, start, summary } from '../helpers/clients/connect-client.ts';
import { useMachine } from '../helpers/clients/machine-client.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const shell = (command: string, more: object = {}) => ({ cmd: '/bin/sh', args: ['-c', command], ...more });

describe('process.Process of a machine', () => {
  const machine = useMachine();

  describe('Start', () => {
    it('begins with `start`, goes on with the output and ends with `end`', async () => {
      const stream = await start(machine, shell('echo out; echo err >&2'));
      expect(stream.response.headers.get('content-type')).to.equal('application/connect+json');
      const pid = await pidOf(stream);
      expect(pid).to.be.above(1);
      const { messages, end } = await stream.rest();
      const ended = { exitCode: 0, exited: true, status: 'exit status 0' };
      expect(summary(messages)).to.deep.equal({ stdout: 'out\n', stderr: 'err\n', pty: '', end: ended });
      expect(Object.keys(messages.at(-1)?.event ?? {})).to.deep.equal(['end']);
      expect(end).to.deep.equal({});
    });

    it('says with which status a process exited, or which signal ended it', async () => {
      const exit = (exitCode: number) => {
        const status = `exit status ${exitCode}`;
        return { exitCode, exited: true, status, error: status };
      };
      const signal = (name: string) => {
        const status = `signal: ${name}`;
        return { exitCode: -1, exited: false, status, error: status };
      };
      for (const [command, end] of [
        ['exit 3', exit(3)],
        ['exit 255', exit(255)],
        ['kill -KILL $$', signal('killed')],
        ['kill -TERM $$', signal('terminated')],
        ['kill -USR1 $$', signal('user defined signal 1')],
      ] as const) {
        expect((await run(machine, command)).end, command).to.deep.equal(end);
      }
    });

    it('sends at most 32 KiB of output at once, and all of it', async () => {
      const stream = await start(machine, shell('head -c 1000000 /dev/zero | tr "\\0" x'));
      const { messages } = await stream.rest();
      const lengths = messages.map(({ event }) => Buffer.from(event.data?.stdout ?? '', 'base64').length);
      expect(Math.max(...lengths)).to.be.at.most(32_768);
      expect(summary(messages).stdout).to.equal('x'.repeat(1_000_000));
    });

    it('gives a process the environment and the directory of the call', async () => {
      const stream = await start(machine, shell('echo $A $B; pwd', { cwd: '/usr', envs: { A: '1', B: 'two words' } }));
      expect(summary((await stream.rest()).messages).stdout).to.equal('1 two words\n/usr\n');
      const { stdout } = await run(machine, 'pwd; echo $HOME');
      expect(new Set(stdout.trim().split('\n')).size).to.equal(1);
    });

    it("gives a process the sandbox's variables, of which the call's take precedence", async () => {
      const { app, owner } = machine;
      const body = { templateID: 'base', envVars: { A: 'sandbox', B: 'sandbox', HOME: '/usr' } };
      const created = await app.http.post('/v2/sandboxes').set('X-API-Key', owner.key).send(body);
      const { sandboxID, envdAccessToken } = created.body;
      const other = { ...machine, headers: { 'E2b-Sandbox-Id': sandboxID, 'X-Access-Token': envdAccessToken } };
      const stream = await start(other, shell('echo $A $B $HOME', { envs: { B: 'call' } }));
      expect(summary((await stream.rest()).messages).stdout).to.equal('sandbox call /usr\n');
    });

    it('refuses a missing directory, a missing program and an unknown user in the last message', async () => {
      for (const [process, headers, code, message] of [
        [shell('true', { cwd: '/none' }), {}, 'invalid_argument', "cwd '/none' does not exist"],
        [shell('true'), { Authorization: `Basic ${base64('nobody-here:')}` }, 'unauthenticated', 'nobody-here'],
        [{ cmd: '/bin/none' }, {}, 'invalid_argument', '/bin/none'],
      ] as const) {
        const stream = await start(machine, { ...process }, {}, { ...headers });
        expect(stream.response.status).to.equal(200);
        const { messages, end } = await stream.rest();
        expect(messages).to.deep.equal([]);
        expect([end.error?.code, end.error?.message.includes(message)], message).to.deep.equal([code, true]);
      }
    });

    it('kills the process after Connect-Timeout-Ms', async () => {
      const stream = await start(machine, shell('echo begun; exec sleep 1000'), {}, { 'Connect-Timeout-Ms': '300' });
      const pid = await pidOf(stream);
      const { messages, end: last } = await stream.rest();
      expect([summary(messages).stdout, last.error?.code]).to.deep.equal(['begun\n', 'deadline_exceeded']);
      const { processes } = (await call(machine, 'process.Process/List', {})).body;
      expect(processes.map((each: { pid: number }) => each.pid)).not.to.include(pid);
    });

    it('refuses a Connect-Timeout-Ms that is no number', async () => {
      for (const timeout of ['1s', '-1', '1.5', '12345678901', '']) {
        const stream = await start(machine, shell('true'), {}, { 'Connect-Timeout-Ms': timeout });
        const { end } = await stream.rest();
        expect(end.error?.code, timeout).to.equal('invalid_argument');
        expect(end.error?.message).to.contain('header.connect-timeout-ms');
      }
    });

    it('says that it lives when nothing was printed for Keepalive-Ping-Interval seconds', async () => {
      const stream = await start(machine, { cmd: 'cat' }, {}, { 'Keepalive-Ping-Interval': '1' });
      const pid = await pidOf(stream);
      expect(await stream.next()).to.deep.equal({ event: { keepalive: {} } });
      expect(await stream.next()).to.deep.equal({ event: { keepalive: {} } });
      await call(machine, 'process.Process/CloseStdin', { process: { pid } });
      expect(summary((await stream.rest()).messages).end?.exitCode).to.equal(0);
    });
  });

  it('List shows running processes with what they were started with', async () => {
    const stream = await start(
      machine,
      { cmd: 'sleep', args: ['1000'], envs: { A: 'b' }, cwd: '/tmp' },
      { tag: 'nap' },
    );
    const pid = await pidOf(stream);
    const listed = async () => (await call(machine, 'process.Process/List', {})).body.processes;
    const [found] = (await listed()).filter((each: { pid: number }) => each.pid === pid);
    const config = { cmd: 'sleep', args: ['1000'], envs: { A: 'b' }, cwd: '/tmp' };
    expect(found).to.deep.equal({ config, pid, tag: 'nap' });
    await call(machine, 'process.Process/SendSignal', { process: { tag: 'nap' }, signal: 'SIGNAL_SIGKILL' });
    expect(summary((await stream.rest()).messages).end?.status).to.equal('signal: killed');
    expect((await listed()).filter((each: { pid: number }) => each.pid === pid)).to.deep.equal([]);
  });

  it('SendSignal sends SIGTERM and SIGKILL to a process and its children, and no other', async () => {
    for (const [signal, status] of [
      ['SIGNAL_SIGTERM', 'signal: terminated'],
      ['SIGNAL_SIGKILL', 'signal: killed'],
    ]) {
      const stream = await start(machine, shell('sleep 1000 & sleep 1000'));
      const process = { pid: await pidOf(stream) };
      expect(await call(machine, 'process.Process/SendSignal', { process, signal })).to.deep.equal({
        status: 200,
        body: {},
      });
      expect(summary((await stream.rest()).messages).end?.status).to.equal(status);
    }
    for (const signal of ['SIGNAL_UNSPECIFIED', undefined]) {
      const { status, body } = await call(machine, 'process.Process/SendSignal', { process: { pid: 1 }, signal });
      expect([status, body.code]).to.deep.equal([501, 'unimplemented']);
    }
  });

  it('every call of an unknown process is not_found', async () => {
    const input = { stdin: '' };
    for (const process of [{ pid: 4_000_000 }, { tag: 'none' }, { pid: 0 }]) {
      for (const [method, more] of [
        ['SendSignal', { signal: 'SIGNAL_SIGKILL' }],
        ['SendInput', { input }],
        ['CloseStdin', {}],
        ['Update', { pty: { size: { cols: 1, rows: 1 } } }],
      ] as const) {
        const { status, body } = await call(machine, `process.Process/${method}`, { process, ...more });
        expect([status, body.code], method).to.deep.equal([404, 'not_found']);
      }
      const { end } = await (await open(machine, 'process.Process/Connect', { process })).rest();
      expect(end.error?.code).to.equal('not_found');
    }
  });

  describe('input', () => {
    it('SendInput writes to the standard input, and CloseStdin ends it', async () => {
      const stream = await start(machine, { cmd: 'cat' }, { stdin: true });
      const process = { pid: await pidOf(stream) };
      for (const text of ['one\n', 'zwölf\n']) {
        const input = { stdin: base64(text) };
        expect((await call(machine, 'process.Process/SendInput', { process, input })).status).to.equal(200);
        expect(await shows(stream, /\n/)).to.equal(text);
      }
      expect((await call(machine, 'process.Process/CloseStdin', { process })).body).to.deep.equal({});
      expect(summary((await stream.rest()).messages).end?.exitCode).to.equal(0);
    });

    it('a process has no standard input if `stdin` is false', async () => {
      const stream = await start(machine, shell('cat; echo over'), { stdin: false });
      expect(summary((await stream.rest()).messages).stdout).to.equal('over\n');
    });
  });

  describe('a terminal', () => {
    const size = (cols: number, rows: number) => ({ size: { cols, rows } });

    it('has a size, which Update changes, and its output is `pty`', async () => {
      const stream = await start(machine, shell('trap "stty size" WINCH; stty size; while :; do read A; done'), {
        pty: size(100, 30),
      });
      const process = { pid: await pidOf(stream) };
      expect(await shows(stream, /\n/)).to.equal('30 100\r\n');
      expect((await call(machine, 'process.Process/Update', { process, pty: size(120, 40) })).body).to.deep.equal({});
      await shows(stream, /40 120\r\n/);
      await call(machine, 'process.Process/SendSignal', { process, signal: 'SIGNAL_SIGKILL' });
      const { pty, stdout, end } = summary((await stream.rest()).messages);
      expect([pty, stdout, end?.status]).to.deep.equal(['', '', 'signal: killed']);
    });

    it('takes input, is not closed by CloseStdin, and is known to those who connect', async () => {
      const stream = await start(machine, shell('stty -echo; echo ready; cat'), { pty: size(80, 24) });
      const process = { pid: await pidOf(stream) };
      await shows(stream, /ready/);
      const { status, body } = await call(machine, 'process.Process/CloseStdin', { process });
      expect([status, body.code]).to.deep.equal([400, 'failed_precondition']);
      expect(body.message).to.contain('Ctrl+D (0x04)');
      const second = await open(machine, 'process.Process/Connect', { process });
      expect(await pidOf(second)).to.equal(process.pid);
      for (const text of ['hello\n', '\x04']) {
        await call(machine, 'process.Process/SendInput', { process, input: { pty: base64(text) } });
      }
      for (const each of [stream, second]) {
        const { pty, end } = summary((await each.rest()).messages);
        expect([pty, end?.exitCode]).to.deep.equal(['hello\r\n', 0]);
      }
    });

    it('can only be resized if there is one', async () => {
      const stream = await start(machine, { cmd: 'cat' });
      const process = { pid: await pidOf(stream) };
      const { status, body } = await call(machine, 'process.Process/Update', { process, pty: size(1, 1) });
      expect([status, body.code]).to.deep.equal([400, 'failed_precondition']);
      await call(machine, 'process.Process/CloseStdin', { process });
      await stream.rest();
    });
  });
});
