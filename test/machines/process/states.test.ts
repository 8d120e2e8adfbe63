import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectAgent } from '../../../app/machines/agent/agent.ts';
import { startProcess } from '../../../app/machines/agent/processes.ts';
import { readStat } from '../../../app/machines/process/proc.ts';
import { failureOf } from '../agent/failure.ts';
import {
  createTestDriver,
  endMachines,
  eventually,
  patience,
  pidOf,
  readUntil,
  run,
  shell,
  startMachine,
  type TestMachine,
} from './machine.ts';

const hasEnded = (pid: number) => readStat(pid)?.isZombie !== false;
const isStopped = (pid: number) => readStat(pid)?.isStopped === true;
/** A program that starts others all the time, and one that has left its parent. */
const busy = shell('echo >>ticks; (setsid sleep 1000 & echo $!); while :; do /bin/true; echo >>ticks; done');

async function startBusy({ agent }: TestMachine): Promise<number[]> {
  const events = startProcess(agent, busy);
  const pid = await pidOf(events);
  return [pid, Number(await readUntil(events, /\n/))];
}

const ticks = ({ home }: TestMachine) => readFileSync(join(home, 'ticks'), 'utf8').length;

describe('machines of the process driver that are paused and stopped', () => {
  afterEach(endMachines);

  it('freeze with everything in them, and go on where they were', async () => {
    const machine = await startMachine();
    const { driver, id, agent, directory } = machine;
    const pids = await startBusy(machine);
    for (let time = 0; time < 2; time += 1) {
      await driver.pause(id);
      await driver.pause(id);
      expect(pids.map(isStopped)).to.deep.equal([true, true]);
      const before = ticks(machine);
      expect(await createTestDriver(directory).list()).to.deep.equal([{ id, state: 'paused' }]);
      expect(ticks(machine)).to.equal(before);
      await driver.resume(id, patience());
      await driver.resume(id, patience());
      await eventually(() => ticks(machine) > before);
      expect(await driver.list()).to.deep.equal([{ id, state: 'running' }]);
      expect((await run(agent, 'echo alive')).stdout).to.equal('alive\n');
    }
  });

  it('end their processes when they stop, keep their files, and are no deaths', async () => {
    const machine = await startMachine();
    const { driver, id, agent, directory, home } = machine;
    const later = createTestDriver(directory);
    const end = new AbortController();
    const deaths = [driver, later].map((each) => each.deaths(end.signal)[Symbol.asyncIterator]().next());
    const pids = await startBusy(machine);
    writeFileSync(join(home, 'kept'), 'kept');
    await driver.pause(id);
    await driver.stop(id);
    await driver.stop(id);
    await agent.closed;
    expect(pids.map(hasEnded)).to.deep.equal([true, true]);
    expect(await later.list()).to.deep.equal([{ id, state: 'stopped' }]);
    expect(await failureOf(driver.pause(id))).to.match(/^MachineError gone: /);
    expect(await failureOf(driver.channel(id, patience()))).to.match(/^MachineError gone: /);
    await later.resume(id, patience());
    expect(await driver.list()).to.deep.equal([{ id, state: 'running' }]);
    const again = await connectAgent(await driver.channel(id, patience()));
    expect((await run(again, 'cat kept')).stdout).to.equal('kept');
    await run(again, 'kill -9 $PPID').catch(() => {});
    // The death, which came last, is the first that anyone hears of.
    for (const death of deaths) expect((await death).value).to.deep.equal({ id, reason: 'exited' });
    end.abort();
  });

  it('are removed although they are paused, and missing ones are refused', async () => {
    const machine = await startMachine();
    const { driver, id } = machine;
    const pids = await startBusy(machine);
    await driver.pause(id);
    await driver.remove(id);
    expect(pids.map(hasEnded)).to.deep.equal([true, true]);
    for (const call of [driver.pause(id), driver.stop(id), driver.resume(id, patience())])
      expect(await failureOf(call)).to.match(/^MachineError gone: /);
  });
});
