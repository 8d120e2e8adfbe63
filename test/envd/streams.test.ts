import { expect } from 'chai';
import { call, open, pidOf, run, shows, start, summary } from '../helpers/clients/connect-client.ts';
import { startMachine, useMachine } from '../helpers/clients/machine-client.ts';
import { startApp } from '../helpers/server.ts';

const shell = (command: string) => ({ cmd: '/bin/sh', args: ['-c', command] });

describe('streams of a machine', () => {
  const machine = useMachine();

  const isOpen = async (pid: number) =>
    (await call(machine, 'process.Process/List', {})).body.processes.some((each: { pid: number }) => each.pid === pid);
  const kill = (pid: number) =>
    call(machine, 'process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' });

  it('a process runs on without its client, and others can listen to it', async () => {
    const first = await start(machine, { cmd: 'cat' }, { tag: 'kept' });
    const pid = await pidOf(first);
    first.close();
    const second = await open(machine, 'process.Process/Connect', { process: { tag: 'kept' } });
    const third = await open(machine, 'process.Process/Connect', { process: { pid } });
    expect([await pidOf(second), await pidOf(third)]).to.deep.equal([pid, pid]);
    const input = { stdin: Buffer.from('hi\n').toString('base64') };
    await call(machine, 'process.Process/SendInput', { process: { pid }, input });
    for (const each of [second, third]) expect(await shows(each, /\n/)).to.equal('hi\n');
    await call(machine, 'process.Process/CloseStdin', { process: { pid } });
    for (const each of [second, third]) {
      expect(summary((await each.rest()).messages).end?.status).to.equal('exit status 0');
    }
  });

  it('a process that has ended can still be listened to', async () => {
    const pid = await pidOf(await start(machine, shell('exit 7')));
    const late = async () => {
      const stream = await open(machine, 'process.Process/Connect', { process: { pid } });
      return summary((await stream.rest()).messages).end?.exitCode;
    };
    expect([await late(), await late()]).to.deep.equal([7, 7]);
  });

  it('clients that go away leave nothing behind', async () => {
    const pids: number[] = [];
    for (let n = 0; n < 20; n++) {
      const stream = await start(machine, { cmd: 'sleep', args: ['1000'] });
      pids.push(await pidOf(stream));
      stream.close();
    }
    // A sandbox may have 256 streams: all of these would be too many if the closed ones counted.
    for (let n = 0; n < 300; n++) {
      const stream = await open(machine, 'process.Process/Connect', { process: { pid: pids[n % 20] } });
      await pidOf(stream);
      stream.close();
    }
    for (const pid of pids) await kill(pid);
  });

  it('a slow reader stops the command, and gets everything in the end', async () => {
    const count = '/tmp/sandpit-count-$PPID-$$';
    const loop = `echo ${count}; for n in $(seq 80); do head -c 1000000 /dev/zero; echo $n > ${count}; done; rm ${count}`;
    const stream = await start(machine, shell(loop));
    const pid = await pidOf(stream);
    const file = (await shows(stream, /\n/)).split('\n')[0]?.trim() ?? '';
    const written = async () => (await run(machine, `cat ${file} 2>/dev/null`)).stdout;
    // It has stopped once it gets no further during 20 other commands.
    let last = '';
    for (let same = 0; same < 20; ) {
      const now = await written();
      same = now === last ? same + 1 : 0;
      last = now;
    }
    expect(Number(last)).to.be.below(70);
    expect(await isOpen(pid)).to.equal(true);
    const { messages } = await stream.rest();
    expect(summary(messages).end?.exitCode).to.equal(0);
  });

  it('a sandbox has at most 256 calls at the same time, and a process that takes nothing holds its calls', async () => {
    const other = await startMachine(machine.app, machine.url);
    const stream = await start(other, { cmd: 'sleep', args: ['1000'] });
    const pid = await pidOf(stream);
    const listeners = await Promise.all(
      Array.from({ length: 255 }, async () => {
        const listener = await open(other, 'process.Process/Connect', { process: { pid } });
        await pidOf(listener);
        return listener;
      }),
    );
    const list = () => call(other, 'process.Process/List', {});
    const [unary, late] = [await list(), await open(other, 'process.Process/Connect', { process: { pid } })];
    expect([unary.status, unary.body.code]).to.deep.equal([429, 'resource_exhausted']);
    expect((await late.rest()).end.error?.code).to.equal('resource_exhausted');
    expect((await call(machine, 'process.Process/List', {})).status).to.equal(200);
    for (const listener of listeners) listener.close();
    while ((await list()).status === 429);
    const input = { stdin: Buffer.alloc(500_000).toString('base64') };
    const ended = call(other, 'process.Process/SendInput', { process: { pid }, input });
    await call(other, 'process.Process/SendSignal', { process: { pid }, signal: 'SIGNAL_SIGKILL' });
    expect((await ended).status).to.be.above(399);
    await stream.rest();
  });

  it('Connect and WatchDir end with deadline_exceeded after Connect-Timeout-Ms', async () => {
    const pid = await pidOf(await start(machine, { cmd: 'sleep', args: ['1000'] }));
    for (const [procedure, message] of [
      ['process.Process/Connect', { process: { pid } }],
      ['filesystem.Filesystem/WatchDir', { path: '/tmp' }],
    ] as const) {
      const stream = await open(machine, procedure, message, { 'Connect-Timeout-Ms': '200' });
      expect((await stream.rest()).end.error?.code).to.equal('deadline_exceeded');
    }
    expect(await isOpen(pid)).to.equal(true);
    await kill(pid);
  });

  it('streams break off when the server stops, which does not wait for them', async () => {
    const app = await startApp({ machines: 'process', port: 0, shutdownSeconds: 3600 });
    const other = await startMachine(app, await app.server.start());
    const stream = await start(other, { cmd: 'sleep', args: ['1000'] });
    await pidOf(stream);
    await app.close();
    expect(String(await stream.rest().catch((thrown: unknown) => thrown))).to.match(/terminated|aborted/);
  });

  it('streams break off when their sandbox is killed, and its calls are 502', async () => {
    const other = await startMachine(machine.app, machine.url);
    const running = await start(other, { cmd: 'sleep', args: ['1000'] });
    await pidOf(running);
    const watching = await open(other, 'filesystem.Filesystem/WatchDir', { path: '/tmp' });
    await watching.next();
    const { status } = await machine.app.http.delete(`/sandboxes/${other.id}`).set('X-API-Key', other.owner.key);
    expect(status).to.equal(204);
    for (const stream of [running, watching]) {
      const error: unknown = await stream.rest().catch((thrown) => thrown);
      expect(String(error)).to.match(/terminated|aborted/);
    }
    expect((await call(other, 'process.Process/List', {})).status).to.equal(502);
    expect((await machine.call('/health', { headers: other.headers })).status).to.equal(502);
  });
});
