import { expect } from 'chai';
import type { Agent } from '../../../app/machines/agent/agent.ts';
import { readFile, watchDirectory, writeFile } from '../../../app/machines/agent/files.ts';
import {
  connectProcess,
  listProcesses,
  sendInput,
  signalProcess,
  startProcess,
} from '../../../app/machines/agent/processes.ts';
import { failureOf } from '../agent/failure.ts';
import { contentOf } from './content.ts';
import { endMachines, eventually, outcomeOf, pidOf, run, shell, startMachine, type TestMachine } from './machine.ts';

/** Returns how many files the agent has open, and how many processes run below it. */
async function held(agent: Agent): Promise<string> {
  const { stdout } = await run(agent, 'ls /proc/$PPID/fd | wc -l; ps --ppid $PPID -o pid= | wc -l');
  return stdout;
}

/** Uses a machine in every way that a client can leave early. */
async function leaveEarly({ agent, connect }: TestMachine): Promise<void> {
  const leaving = new AbortController();
  const pid = await pidOf(startProcess(agent, shell('sleep 1000', { hasStdin: true }), leaving.signal));
  const next = connectProcess(agent, { pid }, leaving.signal);
  await next.next();
  const watching = watchDirectory(agent, '', '', true, leaving.signal).changes;
  await watching.next();
  const { content } = await readFile(agent, '', 'big', undefined, leaving.signal);
  const input = sendInput(agent, { pid }, false, [Buffer.alloc(1_000_000)], leaving.signal);
  const writing = writeFile(agent, '', 'new', contentOf(Buffer.alloc(10), Buffer.alloc(10)), {}, AbortSignal.abort());
  const failures = [failureOf(input), failureOf(writing), failureOf(run(agent, 'true', { cwd: '/none' }))];
  await content.next();
  const other = await connect();
  leaving.abort();
  await Promise.all(failures);
  const killed = outcomeOf(connectProcess(other, { pid }));
  await signalProcess(other, { pid }, 9);
  await killed;
  other.close();
}

describe('an agent whose clients leave early', () => {
  afterEach(endMachines);

  it('keeps no file open, no process and no call', async () => {
    const machine = await startMachine();
    await run(machine.agent, 'head -c 10000000 /dev/zero > big');
    await leaveEarly(machine);
    const before = await held(machine.agent);
    for (let n = 0; n < 20; n++) await leaveEarly(machine);
    await eventually(async () => (await held(machine.agent)) === before);
    expect(await listProcesses(machine.agent)).to.deep.equal([]);
  });
});
