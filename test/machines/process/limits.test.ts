import { expect } from 'chai';
import { connectProcess, listProcesses, startProcess } from '../../../app/machines/agent/processes.ts';
import { failureOf } from '../agent/failure.ts';
import { endMachines, outcomeOf, pidOf, run, shell, startMachine } from './machine.ts';

describe('the limits of an agent', () => {
  afterEach(endMachines);

  it('close the connection that has been silent longest when there are too many', async () => {
    const { agent: silent, connect } = await startMachine();
    const others = await Promise.all(Array.from({ length: 7 }, connect));
    for (const each of others) await listProcesses(each);
    const last = await connect();
    await silent.closed;
    for (const each of [...others, last]) expect(await listProcesses(each)).to.deep.equal([]);
  });

  it('of a command are kept when a listener leaves', async () => {
    const { agent } = await startMachine();
    const events = startProcess(agent, shell('exec sleep 1000', { timeoutMilliseconds: 300 }));
    const pid = await pidOf(events);
    const leaving = new AbortController();
    await pidOf(connectProcess(agent, { pid }, leaving.signal));
    leaving.abort();
    expect(await outcomeOf(events)).to.include({ exitCode: -1, signal: 9 });
  });

  it('refuse a command beyond 256, and run one again when others have ended', async () => {
    const { agent } = await startMachine();
    const wait = shell('', { args: ['/bin/sleep', '1000'] });
    const all = Array.from({ length: 255 }, () => startProcess(agent, wait));
    await Promise.all(all.map(pidOf));
    const short = startProcess(agent, shell('read', { hasStdin: true, tag: 'short' }));
    const pid = await pidOf(short);
    expect(await failureOf(run(agent, 'true'))).to.equal(
      'AgentError resource_exhausted: more than 256 commands are running',
    );
    process.kill(pid);
    await outcomeOf(short);
    expect(await run(agent, 'exit 3')).to.include({ exitCode: 3 });
  });
});
