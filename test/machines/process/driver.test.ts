import { readdirSync } from 'node:fs';
import { expect } from 'chai';
import { connectAgent } from '../../../app/machines/agent/agent.ts';
import { startProcess } from '../../../app/machines/agent/processes.ts';
import type { Death } from '../../../app/machines/driver.ts';
import { noInternet } from '../../../app/machines/network/rules.ts';
import { readStat } from '../../../app/machines/process/proc.ts';
import { temporaryDirectory } from '../../helpers/server.ts';
import { failureOf } from '../agent/failure.ts';
import {
  createTestDriver,
  endMachines,
  machineSpec,
  patience,
  pidOf,
  readUntil,
  run,
  shell,
  startMachine,
} from './machine.ts';

const isRunning = (pid: number) => readStat(pid)?.isZombie === false;

describe('the process driver', () => {
  afterEach(endMachines);

  it('says what it is, and has every image but those that begin with "missing/"', async () => {
    const driver = createTestDriver(temporaryDirectory());
    expect(await driver.probe()).to.include({ name: 'process' });
    expect(await driver.image('debian:12')).to.deep.equal({ id: 'debian:12', sizeBytes: 0 });
    expect(await driver.image('missing/image')).to.equal(null);
    await driver.pull('debian:12', () => {}, patience());
    expect(await failureOf(driver.pull('missing/image', () => {}, patience()))).to.match(/^MachineError no_image: /);
    const create = driver.create(machineSpec('a', { image: 'missing/image' }), patience());
    expect(await failureOf(create)).to.match(/^MachineError no_image: /);
    expect(await driver.list()).to.deep.equal([]);
  });

  it('refuses what it can not do, and leaves nothing behind', async () => {
    const directory = temporaryDirectory();
    const driver = createTestDriver(directory);
    const create = (changes: object) => failureOf(driver.create(machineSpec('a', changes), patience()));
    expect(await create({ network: noInternet })).to.match(/^MachineError unsupported: /);
    expect(await create({ runtime: 'runsc' })).to.match(/^MachineError unsupported: .*runsc/);
    expect(await create({ id: '../a' })).to.match(/^MachineError failed: /);
    const late = driver.create(machineSpec('a'), AbortSignal.abort());
    expect(await failureOf(late)).to.match(/^MachineError timeout: /);
    expect(await driver.list()).to.deep.equal([]);
    expect(readdirSync(directory)).to.deep.equal([]);
  });

  it('keeps one machine for each id', async () => {
    const { driver, id, agent } = await startMachine();
    expect(await failureOf(driver.create(machineSpec(id), patience()))).to.match(/^MachineError failed: /);
    expect((await run(agent, 'echo alive')).stdout).to.equal('alive\n');
  });

  it('removes a machine with everything that runs in it', async () => {
    const { driver, id, agent, directory } = await startMachine();
    const events = startProcess(agent, shell('setsid sleep 1000 & (sleep 1001 &) ; echo $!; sleep 1002'));
    const pid = await pidOf(events);
    const other = Number(await readUntil(events, /\n/));
    await driver.remove(id);
    expect([pid, other].map(isRunning)).to.deep.equal([false, false]);
    expect(readdirSync(directory)).to.deep.equal([]);
    expect(await driver.list()).to.deep.equal([]);
    await agent.closed;
    expect(await failureOf(driver.channel(id, patience()))).to.match(/^MachineError gone: /);
    await driver.remove(id);
  });

  it('finds the machines of an earlier server, and leaves others alone', async () => {
    const { id, agent, directory } = await startMachine();
    const stranger = await startMachine();
    const events = startProcess(agent, shell('echo one; sleep 1000'));
    const pid = await pidOf(events);
    agent.close();
    const later = createTestDriver(directory);
    expect(await later.list()).to.deep.equal([{ id, state: 'running' }]);
    const again = await connectAgent(await later.channel(id, patience()));
    expect((await run(again, 'echo alive')).stdout).to.equal('alive\n');
    expect(isRunning(pid)).to.equal(true);
    await later.remove(id);
    expect(isRunning(pid)).to.equal(false);
    expect((await run(stranger.agent, 'echo alive')).stdout).to.equal('alive\n');
  });

  it('reports machines that die, of this server and of an earlier one', async () => {
    const { driver, id, agent, directory } = await startMachine();
    const [stop, later] = [new AbortController(), createTestDriver(directory)];
    const watching = [driver, later].map((each) => each.deaths(stop.signal)[Symbol.asyncIterator]());
    const deaths = watching.map((each) => each.next() as Promise<IteratorResult<Death>>);
    await run(agent, 'kill -9 $PPID').catch(() => {});
    for (const death of deaths) expect((await death).value).to.deep.equal({ id, reason: 'exited' });
    expect(await driver.list()).to.deep.equal([{ id, state: 'stopped' }]);
    expect(await failureOf(driver.channel(id, patience()))).to.match(/^MachineError gone: /);
    const ended = watching.map((each) => each.next());
    stop.abort();
    for (const { done } of await Promise.all(ended)) expect(done).to.equal(true);
  });

  it('does not report machines that it removes, or that were dead before', async () => {
    const { driver, id, agent } = await startMachine();
    const stop = new AbortController();
    const seen = driver.deaths(stop.signal)[Symbol.asyncIterator]().next();
    await driver.remove(id);
    await agent.closed;
    stop.abort();
    expect((await seen).done).to.equal(true);
  });

  it('ends what is left of a machine whose agent died', async () => {
    const { driver, id, agent } = await startMachine();
    const events = startProcess(agent, shell('(setsid sleep 1000 & echo $!); sleep 1000'));
    await pidOf(events);
    const orphan = Number(await readUntil(events, /\n/));
    await run(agent, 'kill -9 $PPID').catch(() => {});
    await agent.closed;
    await driver.remove(id);
    expect(isRunning(orphan)).to.equal(false);
  });

  it('measures what a machine uses', async () => {
    const { driver, id, agent } = await startMachine();
    const before = await driver.usage(id);
    expect(before.memoryBytes).to.be.within(1, 100 * 2 ** 20);
    const events = startProcess(
      agent,
      shell('i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; sleep 1000'),
    );
    await readUntil(events, /done/);
    const after = await driver.usage(id);
    expect(after.memoryBytes).to.be.greaterThan(before.memoryBytes);
    expect(after.cpuSeconds).to.be.greaterThan(before.cpuSeconds);
    expect(await failureOf(driver.usage('none'))).to.match(/^MachineError gone: /);
  });

  it('gives up at the signal when an agent does not answer', async () => {
    const directory = temporaryDirectory();
    const driver = createTestDriver(directory, ['/bin/sh', '-c', 'sleep 1000']);
    await driver.create(machineSpec('a'), patience());
    const failure = await failureOf(driver.channel('a', AbortSignal.timeout(1)));
    expect(failure).to.match(/^MachineError timeout: /);
    await driver.remove('a');
    expect(readdirSync(directory)).to.deep.equal([]);
  });

  it('says why an agent does not start', async () => {
    const driver = createTestDriver(temporaryDirectory(), ['/no/agent']);
    expect(await failureOf(driver.create(machineSpec('a'), patience()))).to.match(
      /^MachineError failed: .*\/no\/agent/,
    );
    expect(await driver.list()).to.deep.equal([]);
  });
});
