import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { connectAgent } from '../../../app/machines/agent/agent.ts';
import type { Death, Driver } from '../../../app/machines/driver.ts';
import { noInternet } from '../../../app/machines/network/rules.ts';
import { temporaryDirectory } from '../../helpers/server.ts';
import { until } from '../../helpers/until.ts';
import { machineSpec, run } from '../process/machine.ts';
import { FakeMsb } from './fake-msb.ts';
import { failure, folderIn, named, openDriver, soon } from './setup.ts';

const agentProgram = fileURLToPath(new URL(`../../../app/machines/agent/built/agent-${process.arch}`, import.meta.url));
const running = (...ids: string[]) => ({ out: ids.map((id) => ({ name: named(id), status: 'Running' })) });

describe('the microVM driver', () => {
  let directory: string;
  let folder: string;
  let msb: FakeMsb;
  let driver: Driver;
  let agent: ChildProcess | undefined;

  const create = (id: string, changes = {}) => driver.create(machineSpec(id, changes), soon());
  /** Starts the agent that a machine would have. */
  const dial = (id: string) => {
    agent = spawn(agentProgram, ['serve', '--home', directory, '--connect', `unix:${join(folder, id, 's')}`]);
  };

  beforeEach(() => {
    directory = temporaryDirectory();
    folder = folderIn(directory);
    msb = new FakeMsb(directory);
    msb.answer('--version', { out: 'msb 0.7.11' });
    driver = openDriver(directory, msb);
  });
  afterEach(async () => {
    await driver.close();
    agent?.kill();
    agent = undefined;
  });

  it('tells versions apart by what they can do', async () => {
    msb.answer('--version', { out: 'msb 0.7.11\n' }, { out: 'msb 0.7.2\n' }, { out: 'msb 0.6.8' }, { out: 'hello' });
    const { features } = driver;
    expect(await driver.probe()).to.deep.equal({ name: 'microsandbox', version: '0.7.11', address: msb.path });
    expect([...driver.features]).to.deep.equal(['pause', 'egress', 'domains', 'snapshot']);
    await driver.probe();
    expect([...driver.features]).to.deep.equal(['pause', 'egress', 'domains']);
    expect(features).to.equal(driver.features);
    expect(await failure(driver.probe())).to.match(/^unsupported microsandbox 0\.6\.8 is too old/);
    expect(await failure(driver.list())).to.match(/^unsupported msb does not say its version/);
  });

  it('creates a machine without secrets in its arguments, and starts the agent in it', async () => {
    await create('one', { network: noInternet, image: 'debian:12' });
    expect(msb.calls).to.have.length(2);
    const [made, started] = msb.calls as [string, string];
    for (const part of [
      `create -q --pull never --name ${named('one')} --hostname one --memory 512M --cpus 1`,
      ` --no-net --copy-file ${folder}/agent.`,
      ` --vsock ${folder}/one/s:5000/stream debian:12`,
    ])
      expect(made).to.include(part);
    expect(started).to.equal(
      `exec -q --no-stdin --user 0:0 --workdir / ${named('one')} -- /.sandpit/agent serve --connect vsock:5000 --detach yes --sudo no`,
    );
    await create('two', { allowsSudo: true });
    expect(msb.calls[2]).to.not.include('--no-net');
    expect(msb.calls[3]).to.match(/--sudo yes$/);
  });

  it('leaves nothing behind when a create fails, and says why in the words of msb', async () => {
    const cases: [string, RegExp][] = [
      ['error: image error: image not cached: localhost/nope:x\n', /^no_image .*image not cached: localhost\/nope:x$/],
      [
        'error: failed to start "t1"\n  → other: sandbox process exited\n  → run `msb logs`\n',
        /^failed microsandbox could not start the machine: failed to start "t1"; other: sandbox process exited; run/,
      ],
      ['\u001b[31merror:\u001b[0m no space left on device', /^full .*: no space left on device$/],
      [`error: ${'x'.repeat(100_000)}`, /^failed .{300,500}\.\.\.$/],
    ];
    for (const [err, words] of cases) {
      msb.answer('create', { err, code: 1 });
      expect(await failure(create('one'))).to.match(words);
      expect(msb.callsOf('remove').pop()).to.equal(`remove -f ${named('one')}`);
      expect(existsSync(join(folder, 'one'))).to.equal(false);
    }
    expect(await failure(create('one', { runtime: 'runsc' }))).to.match(/^unsupported /);
    expect(await failure(create('../one'))).to.match(/^failed /);
  });

  it('gives up a create at the signal, and ends a program that floods', async () => {
    msb.answer('create', { next: 'hangs' });
    const giveUp = new AbortController();
    const created = failure(driver.create(machineSpec('one'), giveUp.signal));
    await until('msb runs', () => msb.callsOf('create').length === 1);
    giveUp.abort();
    expect(await created).to.match(/^timeout /);
    expect(msb.callsOf('remove')).to.have.length(1);
    msb.answer('list', { next: 'floods' });
    expect(await failure(driver.list())).to.match(/^failed /);
    msb.answer('list', { out: 'no JSON' });
    expect(await failure(driver.list())).to.equal(
      'failed microsandbox printed no JSON when asked to list the machines',
    );
  });

  it('lists its own machines with their states, and finishes a pause that was cut short', async () => {
    for (const id of ['a', 'b', 'c', 'd']) await create(id);
    await driver.pause('b');
    writeFileSync(join(folder, 'd', 'mark'), 'pausing');
    msb.answer('list', {
      out: [
        { name: 'mine', status: 'Running' },
        { name: 'sandpit-ffffffffffffffff-x', status: 'Running' },
        ...running('a', 'b', 'd').out,
        { name: named('c'), status: 'Draining' },
      ],
    });
    expect(await driver.list()).to.deep.equal([
      { id: 'a', state: 'running' },
      { id: 'b', state: 'paused' },
      { id: 'd', state: 'paused' },
      { id: 'c', state: 'stopped' },
    ]);
    expect(msb.callsOf('pause')).to.deep.equal([`pause -q ${named('b')}`, `pause -q ${named('d')}`]);
  });

  it('as a guest beside a server it lists machines and leaves their sockets and pauses alone', async () => {
    for (const id of ['a', 'b']) await create(id);
    const [socket, mark] = [join(folder, 'a', 's'), join(folder, 'b', 'mark')];
    writeFileSync(mark, 'pausing');
    const { ino } = statSync(socket);
    msb.answer('list', running('a', 'b'));
    const guest = openDriver(directory, msb, { isGuest: true });
    expect(await guest.list()).to.deep.equal([
      { id: 'a', state: 'running' },
      { id: 'b', state: 'paused' },
    ]);
    await guest.close();
    expect([statSync(socket).ino, readFileSync(mark, 'utf8'), msb.callsOf('pause')]).to.deep.equal([
      ino,
      'pausing',
      [],
    ]);
  });

  it('pauses once, lets a machine that did not pause go on, and resumes', async () => {
    await create('one');
    msb.answer('list', running('one'));
    msb.answer('pause', { err: 'error: control client error', code: 1 }, {});
    expect(await failure(driver.pause('one'))).to.match(/^failed .*control client error/);
    expect(msb.callsOf('resume')).to.have.length(1);
    expect(await driver.list()).to.deep.equal([{ id: 'one', state: 'running' }]);
    await driver.pause('one');
    await driver.pause('one');
    expect(msb.callsOf('pause')).to.have.length(2);
    await driver.resume('one', soon());
    expect(await driver.list()).to.deep.equal([{ id: 'one', state: 'running' }]);
    expect(await failure(driver.pause('other'))).to.match(/^gone /);
    msb.answer('list', { out: [] });
    expect(await failure(driver.resume('one', soon()))).to.match(/^gone /);
  });

  it('stops a paused machine with its files written, and starts it again with its agent', async () => {
    await create('one');
    await driver.pause('one');
    msb.answer('list', running('one'));
    msb.answer('stop', { err: 'error: graceful stop timed out', code: 1 }, {});
    await driver.stop('one');
    const name = named('one');
    expect(msb.calls.slice(-3)).to.deep.equal([`resume -q ${name}`, `stop -q -t 10 ${name}`, `stop -q -f ${name}`]);
    msb.answer('list', { out: [{ name, status: 'Stopped' }] });
    await driver.stop('one');
    // As after a restart of the host.
    writeFileSync(join(folder, 'one', 'mark'), 'paused');
    await driver.resume('one', soon());
    expect(msb.callsOf('stop')).to.have.length(2);
    expect(msb.calls.slice(-2)[0]).to.equal(`start ${name}`);
    expect(msb.calls.slice(-1)[0]).to.match(/^exec .* --detach yes --sudo no$/);
    msb.answer('list', running('one'));
    expect(await driver.list()).to.deep.equal([{ id: 'one', state: 'running' }]);
  });

  it('hands out the connection that the agent made, also to a later server', async () => {
    await create('one');
    dial('one');
    const first = await connectAgent(await driver.channel('one', soon()));
    expect((await run(first, 'echo hello')).stdout).to.equal('hello\n');
    await driver.close();
    first.close();
    driver = openDriver(directory, msb);
    msb.answer('list', running('one'));
    const second = await connectAgent(await driver.channel('one', soon()));
    expect((await run(second, 'echo again')).stdout).to.equal('again\n');
    second.close();
  });

  it('starts an agent that does not dial, and waits for none in a machine that is gone', async () => {
    await create('one');
    msb.answer('list', running('one'));
    const channel = driver.channel('one', soon());
    await until('the agent is started again', () => msb.callsOf('exec').length === 2);
    dial('one');
    (await channel).destroy();
    msb.answer('list', { out: [{ name: named('one'), status: 'Stopped' }] });
    agent?.kill();
    await once(agent as ChildProcess, 'exit');
    expect(await failure(nextOf(driver, 'one'))).to.match(/^gone /);
    expect(await failure(driver.channel('other', soon()))).to.match(/^gone /);
  });

  it('removes machines, also those that do not exist', async () => {
    await create('one');
    msb.answer('remove', {}, { err: 'error: sandbox not found: x', code: 1 });
    await driver.remove('one');
    await driver.remove('one');
    expect(readdirSync(folder).filter((name) => name === 'one')).to.deep.equal([]);
    msb.answer('remove', { err: 'error: still running', code: 1 }, {});
    await driver.remove('one');
    msb.answer('remove', { err: 'error: locked', code: 1 });
    expect(await failure(driver.remove('one'))).to.match(/^failed .*locked$/);
  });

  it('reports machines that die, at once when their connection breaks, and not those that it ends', async () => {
    await create('one');
    await create('two');
    msb.answer('list', running('one', 'two'));
    const stop = new AbortController();
    const deaths = driver.deaths(stop.signal)[Symbol.asyncIterator]() as AsyncIterator<Death>;
    const death = deaths.next();
    await until('it has looked', () => msb.calls.includes('list --format json'));
    dial('one');
    const connected = await connectAgent(await driver.channel('one', soon()));
    msb.answer('list', { out: [{ name: named('one'), status: 'Crashed' }] });
    msb.answer('remove', { next: 'hangs' });
    driver.remove('two').catch(() => {});
    connected.close();
    expect((await death).value).to.deep.equal({ id: 'one', reason: 'exited' });
    const next = deaths.next();
    stop.abort();
    expect((await next).done).to.equal(true);
  });

  it('measures, finds and fetches', async () => {
    msb.answer('metrics', { out: { vcpu_time_ns: 1_500_000_000, memory_bytes: 28_336_128 } });
    expect(await driver.usage('one')).to.deep.equal({ cpuSeconds: 1.5, memoryBytes: 28_336_128, cacheBytes: 0 });
    msb.answer(
      'image inspect',
      { out: { digest: 'sha256:72a0', size_bytes: 95 } },
      { err: 'error: image not found: x', code: 1 },
    );
    expect(await driver.image('x')).to.deep.equal({ id: 'sha256:72a0', sizeBytes: 95 });
    expect(await driver.image('x')).to.equal(null);
    const said: string[] = [];
    msb.answer('pull', { err: '\u001b[2KPulling 3 of 7\r\n' }, { err: 'error: manifest unknown', code: 1 });
    await driver.pull('x', (words) => said.push(words), soon());
    expect(said).to.deep.equal(['asking the registry', 'Pulling 3 of 7']);
    expect(await failure(driver.pull('x', () => {}, soon()))).to.match(/^no_image .*manifest unknown/);
  });
});

/** Returns the first connection of an agent that lives: earlier ones may wait to be taken. */
async function nextOf(driver: Driver, id: string): Promise<never> {
  for (;;) (await driver.channel(id, AbortSignal.timeout(20_000))).destroy();
}
