import { expect } from 'chai';
import { connectProcess, signalProcess, startProcess } from '../../../app/machines/agent/processes.ts';
import { endMachines, eventually, outcomeOf, pidOf, readUntil, run, settled, shell, startMachine } from './machine.ts';

/** What `seq 200000` prints. */
const numbers = Array.from({ length: 200_000 }, (_, n) => `${n + 1}\n`).join('');

describe('listening to a process of a machine', () => {
  afterEach(endMachines);

  it('works while another listener is there: each gets all output from then on', async () => {
    const { agent } = await startMachine();
    const first = startProcess(agent, shell('read line; echo $line; exit 4', { hasStdin: true, tag: 'echo' }));
    const pid = await pidOf(first);
    const second = connectProcess(agent, { tag: 'echo' });
    expect(await pidOf(second)).to.equal(pid);
    await run(agent, `echo hello > /proc/${pid}/fd/0`);
    for (const events of [first, second])
      expect(await outcomeOf(events)).to.include({ stdout: 'hello\n', exitCode: 4 });
  });

  it('can go on after the listener left, with the output of the meantime', async () => {
    const { agent } = await startMachine();
    const events = startProcess(
      agent,
      shell('echo one; until [ -e go ]; do sleep 0.01; done; echo two; touch went; sleep 1000'),
    );
    const pid = await pidOf(events);
    await readUntil(events, /one/);
    await events.return(undefined);
    await run(agent, 'touch go; until [ -e went ]; do sleep 0.01; done');
    const again = connectProcess(agent, { pid });
    expect(await readUntil(again, /\n/)).to.equal('two\n');
    await signalProcess(agent, { pid }, 9);
    expect(await outcomeOf(again)).to.include({ exitCode: -1, signal: 9 });
  });

  it('keeps the last 64 KiB while nobody listens, and does not block the command', async () => {
    const { agent } = await startMachine();
    const leaving = new AbortController();
    const command = 'seq 200000; echo END; touch written; sleep 1000';
    const pid = await pidOf(startProcess(agent, shell(command), leaving.signal));
    leaving.abort();
    await run(agent, 'until [ -e written ]; do sleep 0.01; done');
    const text = await readUntil(connectProcess(agent, { pid }), /END\n/);
    expect(`${numbers}END\n`.endsWith(text)).to.equal(true);
    // The pipe may hold as much again.
    expect(text.length).to.be.within(1, 2 * 65_536);
  });

  it('finds the end of a process that ended a moment ago', async () => {
    const { agent } = await startMachine();
    const { pid } = await run(agent, 'exit 6', { tag: 'ended' });
    expect(await outcomeOf(connectProcess(agent, { pid }))).to.include({ pid, exitCode: 6 });
    expect(await outcomeOf(connectProcess(agent, { tag: 'ended' }))).to.include({ pid, exitCode: 6 });
  });

  it('goes on over a new connection after the first one broke', async () => {
    const { agent, connect } = await startMachine();
    const events = startProcess(agent, shell('echo one; until [ -e go ]; do sleep 0.01; done; echo two; exit 7'));
    const pid = await pidOf(events);
    await readUntil(events, /one/);
    agent.close();
    await agent.closed;
    const other = await connect();
    const again = connectProcess(other, { pid });
    await pidOf(again);
    await run(other, 'touch go');
    expect(await outcomeOf(again)).to.include({ stdout: 'two\n', exitCode: 7 });
    other.close();
  });

  it('slowly blocks the command and nothing else', async () => {
    const { agent } = await startMachine();
    const events = startProcess(agent, shell('yes | head -c 4000000 | tee copy; exit 8'));
    await pidOf(events);
    const written = async () => Number((await run(agent, 'stat -c %s copy')).stdout);
    await eventually(async () => (await written()) > 200_000);
    // What fits in credit and pipes is printed, and no more.
    expect(await settled(written)).to.be.lessThan(1_000_000);
    expect((await run(agent, 'echo quick')).stdout).to.equal('quick\n');
    const { stdout, exitCode } = await outcomeOf(events);
    expect(exitCode).to.equal(8);
    expect(stdout).to.equal('y\n'.repeat(2_000_000));
  });

  it('to floods on both streams loses nothing', async () => {
    const { agent } = await startMachine();
    const command = 'seq 200000 & seq 200000 >&2; wait';
    const { stdout, stderr } = await run(agent, command);
    expect(stdout === numbers && stderr === numbers).to.equal(true);
  });

  it('works for many processes at once', async () => {
    const { agent } = await startMachine();
    const outcomes = await Promise.all(Array.from({ length: 50 }, (_, n) => run(agent, `echo ${n}; exit ${n}`)));
    for (const [n, outcome] of outcomes.entries()) expect(outcome).to.include({ stdout: `${n}\n`, exitCode: n });
  });
});
