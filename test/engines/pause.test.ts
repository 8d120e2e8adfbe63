import { expect } from 'chai';
import type { Death, Driver } from '../../app/machines/driver.ts';
import { openNetwork } from '../../app/machines/network/rules.ts';
import { describeOnEngines } from '../machines/engines/engines.ts';
import { failure } from './failure.ts';
import { connect, driverOf, run, soon, specOf, startMachine } from './machine.ts';

/** Counts as fast as it can. */
const count = '(n=0; while :; do echo $((n += 1)) > /dev/shm/count; done) < /dev/null > /dev/null 2>&1 & echo $!';

describeOnEngines('a machine that pauses and stops', (engine) => {
  let driver: Driver;
  beforeEach(() => {
    driver = driverOf(engine());
  });
  afterEach(async () => {
    for (const { id } of await driver.list()) await driver.remove(id);
    await driver.close();
  });

  it('is frozen while it is paused, also for another server, and goes on', async () => {
    const instance = 'cafecafecafecafe';
    const before = driverOf(engine(), instance);
    const counter = (await run(await startMachine(before, specOf('cold', engine())), count)).output.trim();
    await before.pause('cold');
    await before.close();
    driver = driverOf(engine(), instance);
    await driver.pause('cold');
    expect(await driver.list()).to.deep.equal([{ id: 'cold', state: 'paused' }]);
    expect(await failure(driver.channel('cold', soon()))).to.equal('gone');
    const { cpuSeconds } = await driver.usage('cold');
    expect((await driver.usage('cold')).cpuSeconds).to.equal(cpuSeconds);
    await driver.resume('cold', soon());
    await driver.resume('cold', soon());
    expect(await driver.list()).to.deep.equal([{ id: 'cold', state: 'running' }]);
    const agent = await connect(driver, 'cold');
    const goesOn = `kill -0 ${counter} && a=$(< /dev/shm/count); until [ "$(< /dev/shm/count)" != "$a" ]; do :; done; echo on`;
    expect((await run(agent, goesOn)).output).to.equal('on\n');
  });

  it('gets more or less memory while it runs, is paused or stopped', async () => {
    const agent = await startMachine(driver, specOf('grows', engine()));
    const limit = async (one = agent) =>
      Number((await run(one, 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>&-')).output);
    expect(await limit()).to.equal(128 * 2 ** 20);
    // Podman 4 can't.
    if ((await failure(driver.resize?.('grows', 128) as Promise<void>)) === 'unsupported') return;
    await driver.resize?.('grows', 256);
    expect(await limit()).to.equal(256 * 2 ** 20);
    await driver.pause('grows');
    await driver.resize?.('grows', 192);
    await driver.resume('grows', soon());
    expect(await limit(await connect(driver, 'grows'))).to.equal(192 * 2 ** 20);
    await driver.stop('grows');
    await driver.resize?.('grows', 160);
    await driver.resume('grows', soon());
    expect(await limit(await connect(driver, 'grows'))).to.equal(160 * 2 ** 20);
    expect(await failure(driver.resize?.('nobody', 256) as Promise<void>)).to.equal('gone');
  });

  it('has what it held when it ended, also of a stopped one', async () => {
    for (const end of ['pause', 'stop', null] as const) {
      await run(await startMachine(driver, specOf(`kept-${end}`, engine())), `echo ${end} > ~/file`);
      if (end) await driver[end](`kept-${end}`);
      const { ref } = await driver.snapshot(`kept-${end}`, `last-${end}`, soon());
      const copy = await startMachine(driver, specOf(`copy-${end}`, engine(), { image: ref, isSnapshot: true }));
      expect((await run(copy, 'cat ~/file')).output).to.equal(`${end}\n`);
    }
  });

  it('keeps its files while it is stopped, also when the engine restarts, and loses its processes', async () => {
    await run(
      await startMachine(driver, specOf('off', engine(), { network: openNetwork })),
      `echo kept > ~/file; ${count}`,
    );
    await driver.pause('off');
    await driver.stop('off');
    await driver.stop('off');
    expect(await driver.list()).to.deep.equal([{ id: 'off', state: 'stopped' }]);
    expect(await failure(driver.channel('off', soon()))).to.equal('gone');
    expect(await failure(driver.pause('off'))).to.equal('gone');
    expect(await failure(driver.usage('off'))).to.equal('gone');
    await engine().restart();
    await driver.resume('off', soon());
    const agent = await connect(driver, 'off');
    expect((await run(agent, 'cat ~/file; ls /dev/shm /sys/class/net')).output).to.match(
      /^kept\n\/dev\/shm:\n\n.*eth0/s,
    );
  });

  it('has not died when it is stopped, but when it dies after that', async () => {
    const deaths = driver.deaths(soon())[Symbol.asyncIterator]();
    const died: Promise<IteratorResult<Death>> = deaths.next();
    for (const id of ['stopped', 'again']) {
      await driver.create(specOf(id, engine()), soon());
      await driver.stop(id);
    }
    await driver.resume('again', soon());
    const containers = (await engine().ask('GET', '/containers/json')) as { Id: string }[];
    await engine().ask('POST', `/containers/${containers[0]?.Id}/kill`);
    expect((await died).value).to.deep.equal({ id: 'again', reason: 'exited' });
    await driver.resume('again', soon());
    const diedAgain = deaths.next();
    await engine().ask('POST', `/containers/${containers[0]?.Id}/kill`);
    expect((await diedAgain).value).to.deep.equal({ id: 'again', reason: 'exited' });
  });

  it('is removed while it is paused or stopped; a missing one is gone', async () => {
    for (const id of ['paused', 'stopped']) await driver.create(specOf(id, engine()), soon());
    await Promise.all([driver.pause('paused'), driver.stop('stopped')]);
    await Promise.all(['paused', 'stopped'].map((id) => driver.remove(id)));
    expect(await driver.list()).to.deep.equal([]);
    for (const call of [driver.pause('no'), driver.stop('no'), driver.resume('no', soon())])
      expect(await failure(call)).to.equal('gone');
  });

  it('starts again after somebody has removed the networks without machines', async function () {
    // Podman keeps the networks of stopped containers.
    if (engine().engine === 'podman') this.skip();
    await driver.create(specOf('alone', engine(), { network: openNetwork }), soon());
    await driver.stop('alone');
    await engine().ask('POST', '/networks/prune');
    await driver.resume('alone', soon());
    expect((await run(await connect(driver, 'alone'), 'ls /sys/class/net')).output).to.equal('eth0\nlo\n');
  });
});
