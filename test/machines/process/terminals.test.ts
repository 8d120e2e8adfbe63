import { expect } from 'chai';
import {
  closeInput,
  connectProcess,
  resizeTerminal,
  sendInput,
  signalProcess,
  startProcess,
} from '../../../app/machines/agent/processes.ts';
import { failureOf } from '../agent/failure.ts';
import { endMachines, outcomeOf, pidOf, readUntil, run, shell, startMachine } from './machine.ts';

const terminal = { columns: 91, rows: 33 };
const type = (text: string) => [Buffer.from(text)];

describe('terminals of a machine', () => {
  afterEach(endMachines);

  it('echo what is typed, and run it', async () => {
    const { agent } = await startMachine();
    const events = startProcess(agent, shell('', { args: ['/bin/sh', '-i'], env: { PS1: '$ ' }, terminal }));
    const pid = await pidOf(events);
    await readUntil(events, /\$ $/);
    await sendInput(agent, { pid }, true, type('echo $((6 * 7))\n'));
    expect(await readUntil(events, /42\r\n/)).to.match(/^echo \$\(\(6 \* 7\)\)\r\n.*42\r\n/s);
    await sendInput(agent, { pid }, true, type('exit 9\n'));
    expect(await outcomeOf(events)).to.include({ exitCode: 9 });
  });

  it('have a size, which can change', async () => {
    const { agent } = await startMachine();
    const command = "trap 'stty size' WINCH; tty -s && stty size; while :; do sleep 0.01; done";
    const events = startProcess(agent, shell(command, { terminal }));
    const pid = await pidOf(events);
    expect(await readUntil(events, /\n/)).to.equal('33 91\r\n');
    await resizeTerminal(agent, { pid }, { columns: 120, rows: 40 });
    expect(await readUntil(events, /\n/)).to.equal('40 120\r\n');
    await signalProcess(agent, { pid }, 9);
    expect(await outcomeOf(events)).to.include({ signal: 9 });
  });

  it('control the command: Ctrl+C interrupts it, Ctrl+D ends its input', async () => {
    const { agent } = await startMachine();
    const sleeper = startProcess(
      agent,
      shell("trap 'echo stopped; exit 1' INT; echo ready; while :; do sleep 0.01; done", { terminal }),
    );
    const pid = await pidOf(sleeper);
    await readUntil(sleeper, /ready/);
    await sendInput(agent, { pid }, true, type('\x03'));
    expect(await outcomeOf(sleeper)).to.include({ exitCode: 1 });
    const reader = startProcess(agent, shell('cat; echo end', { terminal }));
    await sendInput(agent, { pid: await pidOf(reader) }, true, type('\x04'));
    expect((await outcomeOf(reader)).stdout).to.match(/end\r\n/);
  });

  it('are told apart from processes without one', async () => {
    const { agent } = await startMachine();
    const shown = startProcess(agent, shell('sleep 1000', { terminal, tag: 'shown' }));
    const piped = startProcess(agent, shell('sleep 1000', { hasStdin: true, tag: 'piped' }));
    const started = [await shown.next(), await piped.next()].map(({ value }) => value);
    expect(started.map((value) => value.isTerminal)).to.deep.equal([true, false]);
    const again = await connectProcess(agent, { tag: 'shown' }).next();
    expect(again.value).to.include({ type: 'start', isTerminal: true });
    const message = /^AgentError failed_precondition: .*send Ctrl\+D \(0x04\) instead$/;
    expect(await failureOf(closeInput(agent, { tag: 'shown' }))).to.match(message);
    expect(await failureOf(sendInput(agent, { tag: 'shown' }, false, type('x')))).to.match(/^AgentError /);
    expect(await failureOf(sendInput(agent, { tag: 'piped' }, true, type('x')))).to.match(/^AgentError /);
    expect(await failureOf(resizeTerminal(agent, { tag: 'piped' }, terminal))).to.match(/^AgentError /);
  });

  it('end with all that runs in them', async () => {
    const { agent } = await startMachine();
    const events = startProcess(agent, shell('sleep 1001 & sleep 1002', { terminal }));
    await signalProcess(agent, { pid: await pidOf(events) }, 9);
    expect(await outcomeOf(events)).to.include({ exitCode: -1, signal: 9 });
    expect((await run(agent, 'pgrep -f "^sleep 100[12]" -P 1')).stdout).to.equal('');
  });
});
