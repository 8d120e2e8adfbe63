import { expect } from 'chai';
import { startProcess } from '../../app/machines/agent/processes.ts';
import type { Death, Driver } from '../../app/machines/driver.ts';
import { describeOnEngines } from '../machines/engines/engines.ts';
import { connect, driverOf, run, soon, specOf, startMachine } from './machine.ts';

describeOnEngines('the ends of machines', (engine) => {
  let driver: Driver;
  let listening: AbortController;
  let deaths: AsyncIterator<Death>;
  beforeEach(() => {
    driver = driverOf(engine());
    listening = new AbortController();
    deaths = driver.deaths(AbortSignal.any([listening.signal, soon()]))[Symbol.asyncIterator]();
  });
  afterEach(async () => {
    listening.abort();
    for (const { id } of await driver.list()) await driver.remove(id);
    await driver.close();
  });

  it('are seen when the agent is killed, and not when we remove a machine', async () => {
    for (const id of ['removed', 'killed']) await driver.create(specOf(id, engine()), soon());
    const died = deaths.next();
    await driver.remove('removed');
    process.kill(await processOf('killed'), 'SIGKILL');
    expect((await died).value).to.deep.equal({ id: 'killed', reason: 'exited' });
    expect(await driver.list()).to.deep.equal([{ id: 'killed', state: 'stopped' }]);
  });

  it('do not come from a command that kills the first process', async () => {
    const agent = await startMachine(driver, specOf('stubborn', engine()));
    await run(agent, 'kill -9 1', 'root');
    expect(await run(agent, 'echo alive')).to.include({ output: 'alive\n' });
  });

  it('are told apart when the agent ran out of memory', async () => {
    const agent = await startMachine(driver, specOf('hungry', engine(), { memoryMb: 32 }));
    const died = deaths.next();
    // The memory of a file belongs to no process, so the kernel goes by oom_score_adj.
    const hog = 'echo 1000 > /proc/1/oom_score_adj; head -c 60M /dev/zero > /dev/shm/file';
    run(agent, hog, 'root').catch(() => {
      // The machine ends with the command.
    });
    const { id, reason } = (await died).value;
    expect(id).to.equal('hungry');
    // Podman does not notice it under cgroup v1.
    expect(reason).to.be.oneOf(engine().engine === 'docker' ? ['out_of_memory'] : ['out_of_memory', 'exited']);
  });

  it('are seen if they happened while nobody listened', async () => {
    await driver.create(specOf('unseen', engine()), soon());
    const watcher = driver.deaths(soon())[Symbol.asyncIterator]();
    process.kill(await processOf('unseen'), 'SIGKILL');
    expect((await watcher.next()).value).to.deep.equal({ id: 'unseen', reason: 'exited' });
    const late = driver.deaths(soon())[Symbol.asyncIterator]();
    expect((await late.next()).value).to.deep.equal({ id: 'unseen', reason: 'exited' });
    await Promise.all([watcher.return?.(), late.return?.()]);
  });

  it('do not come with the end of the engine: machines and their commands run on', async () => {
    const agent = await startMachine(driver, specOf('lasting', engine()));
    await driver.create(specOf('dying', engine()), soon());
    const dying = await processOf('dying');
    const died = deaths.next();
    const command = 'until [ -e /tmp/go ]; do sleep 0.05; done; touch /tmp/went-on';
    const events = startProcess(agent, { ...background, args: ['/bin/bash', '-c', command] });
    await events.next();
    await engine().restart(async () => {
      process.kill(dying, 'SIGKILL');
    });
    expect((await died).value).to.deep.equal({ id: 'dying', reason: 'exited' });
    const again = await connect(driver, 'lasting');
    const { output } = await run(again, 'touch /tmp/go; until [ -e /tmp/went-on ]; do sleep 0.05; done; echo over');
    expect(output).to.equal('over\n');
    await driver.create(specOf('new', engine()), soon());
    expect((await driver.list()).filter(({ state }) => state === 'running').map(({ id }) => id)).to.have.members([
      'lasting',
      'new',
    ]);
  });

  const background = { user: '', cwd: '/', env: {}, hasStdin: false, terminal: null, timeoutMilliseconds: 0, tag: '' };

  /** Returns the id, on the host, of a machine's first process. */
  async function processOf(id: string): Promise<number> {
    const containers = (await engine().ask('GET', '/containers/json')) as { Id: string; Names: string[] }[];
    const found = containers.find(({ Names }) => Names.some((name) => name.endsWith(`-${id}`)));
    const { State } = (await engine().ask('GET', `/containers/${found?.Id}/json`)) as { State: { Pid: number } };
    if (!(State.Pid > 1)) throw new Error(`${id} does not run`);
    return State.Pid;
  }
});
