import { hash } from 'node:crypto';
import { expect } from 'chai';
import {
  closeInput,
  connectProcess,
  listProcesses,
  recentOutput,
  sendInput,
  signalProcess,
  startProcess,
} from '../../../app/machines/agent/processes.ts';
import { readStat } from '../../../app/machines/process/proc.ts';
import { failureOf } from '../agent/failure.ts';
import { endMachines, eventually, outcomeOf, pidOf, readUntil, run, shell, startMachine } from './machine.ts';

const [sigkill, sigterm] = [9, 15];

describe('processes of a machine', () => {
  afterEach(endMachines);

  it('tell their output on two streams and how they ended', async () => {
    const { agent } = await startMachine();
    const outcome = await run(agent, 'echo out; echo err >&2; exit 3');
    expect(outcome).to.include({ stdout: 'out\n', stderr: 'err\n', exitCode: 3, signal: 0 });
    expect(outcome.pid).to.be.greaterThan(0);
    expect(await run(agent, 'true')).to.include({ stdout: '', stderr: '', exitCode: 0, signal: 0 });
    expect(await run(agent, 'kill -SEGV $$')).to.include({ exitCode: -1, signal: 11 });
  });

  it('tell the pid that the command itself sees', async () => {
    const { agent } = await startMachine();
    const { pid, stdout } = await run(agent, 'echo $$');
    expect(stdout).to.equal(`${pid}\n`);
  });

  it('may print any bytes', async () => {
    const { agent } = await startMachine();
    const bytes: Buffer[] = [];
    for await (const event of startProcess(agent, shell("printf '\\0\\xff\\x80\\n'")))
      if (event.type === 'stdout') bytes.push(event.bytes);
    expect(Buffer.concat(bytes)).to.deep.equal(Buffer.from([0, 0xff, 0x80, 0x0a]));
  });

  it('get the environment and working directory that the call gives', async () => {
    const { agent, home } = await startMachine();
    const env = { GREETING: 'a=b "c" ü\n', HOME: '/elsewhere' };
    expect((await run(agent, 'printf %s "$GREETING $HOME"', { env })).stdout).to.equal(`${env.GREETING} /elsewhere`);
    expect((await run(agent, 'echo $PWD $HOME $USER $LOGNAME')).stdout).to.equal(`${home} ${home} user user\n`);
    expect((await run(agent, 'pwd', { cwd: '/usr' })).stdout).to.equal('/usr\n');
    await run(agent, 'mkdir -p below/it');
    expect((await run(agent, 'pwd', { cwd: 'below/it' })).stdout).to.equal(`${home}/below/it\n`);
    expect((await run(agent, 'pwd', { cwd: '~/below' })).stdout).to.equal(`${home}/below\n`);
  });

  it('take arguments as they are, and find programs in the PATH', async () => {
    const { agent } = await startMachine();
    const args = ['printf', '[%s]', '', 'a b', '$HOME', '*', 'ü', '\'"'];
    expect((await run(agent, '', { args })).stdout).to.equal('[][a b][$HOME][*][ü][\'"]');
  });

  it('that can not start are refused in words', async () => {
    const { agent } = await startMachine();
    const start = (changes: object) => failureOf(run(agent, 'true', changes));
    expect(await start({ cwd: '/nowhere' })).to.equal("AgentError invalid_argument: cwd '/nowhere' does not exist");
    expect(await start({ user: 'nobody-here' })).to.equal(
      "AgentError unauthenticated: invalid username: 'nobody-here'",
    );
    expect(await start({ args: ['/no/program'] })).to.match(/^AgentError invalid_argument: .*\/no\/program/);
    expect(await start({ args: [] })).to.match(/^AgentError invalid_argument: /);
    expect(await start({ env: { 'A=B': 'c' } })).to.match(/^AgentError invalid_argument: /);
    expect(await start({ args: ['x'.repeat(2 ** 20)] })).to.match(/^AgentError invalid_argument: .*1 MiB/);
    expect((await run(agent, 'echo still here')).stdout).to.equal('still here\n');
  });

  it('read their input, and its end', async () => {
    const { agent } = await startMachine();
    const events = startProcess(agent, shell('cat; echo done', { hasStdin: true }));
    const pid = await pidOf(events);
    await sendInput(agent, { pid }, false, [Buffer.from('one '), Buffer.from('two\n')]);
    expect(await readUntil(events, /two\n/)).to.equal('one two\n');
    await closeInput(agent, { pid });
    expect(await outcomeOf(events)).to.include({ stdout: 'done\n', exitCode: 0 });
  });

  it('have no input unless it is asked for', async () => {
    const { agent } = await startMachine();
    expect(await run(agent, 'cat; echo end')).to.include({ stdout: 'end\n' });
    const pid = await pidOf(startProcess(agent, shell('sleep 1000')));
    expect(await failureOf(sendInput(agent, { pid }, false, [Buffer.from('x')]))).to.match(/^AgentError /);
  });

  it('take more input than fits in their pipe, at their own pace', async () => {
    const { agent } = await startMachine();
    const events = startProcess(agent, shell('sha256sum', { hasStdin: true }));
    const pid = await pidOf(events);
    const parts = Array.from({ length: 64 }, () => Buffer.alloc(65_536, 'x'));
    await sendInput(agent, { pid }, false, parts);
    await closeInput(agent, { pid });
    expect((await outcomeOf(events)).stdout).to.equal(`${hash('sha256', Buffer.concat(parts))}  -\n`);
  });

  it('end with all their children when they are signaled', async () => {
    const { agent } = await startMachine();
    const events = startProcess(agent, shell('sleep 1000 & echo $!; sleep 1000'));
    const pid = await pidOf(events);
    const child = Number(await readUntil(events, /\n/));
    await signalProcess(agent, { pid }, sigkill);
    expect(await outcomeOf(events)).to.include({ exitCode: -1, signal: sigkill });
    await eventually(() => readStat(child)?.isZombie !== false);
  });

  it('can catch a signal', async () => {
    const { agent } = await startMachine();
    const events = startProcess(
      agent,
      shell("trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.01; done"),
    );
    const pid = await pidOf(events);
    await readUntil(events, /ready/);
    await signalProcess(agent, { pid }, sigterm);
    expect(await outcomeOf(events)).to.include({ stdout: 'caught\n', exitCode: 5, signal: 0 });
  });

  it('end at their timeout', async () => {
    const { agent } = await startMachine();
    const outcome = await run(agent, 'sleep 1000 & sleep 1000', { timeoutMilliseconds: 30 });
    expect(outcome).to.include({ exitCode: -1, signal: sigkill });
  });

  it('are listed while they run, with what they were started with', async () => {
    const { agent } = await startMachine();
    expect(await listProcesses(agent)).to.deep.equal([]);
    const spec = shell('sleep 1000', { tag: 'sleeper', cwd: '/usr', env: { A: 'b=c' } });
    const events = startProcess(agent, spec);
    const pid = await pidOf(events);
    const { args, env, cwd, tag } = spec;
    expect(await listProcesses(agent)).to.deep.equal([{ pid, tag, cwd, args, env }]);
    await signalProcess(agent, { tag: 'sleeper' }, sigkill);
    await outcomeOf(events);
    expect(await listProcesses(agent)).to.deep.equal([]);
  });

  it('that do not exist are not found', async () => {
    const { agent } = await startMachine();
    const byPid = 'AgentError not_found: process with pid 999999 not found';
    expect(await failureOf(signalProcess(agent, { pid: 999_999 }, sigkill))).to.equal(byPid);
    expect(await failureOf(sendInput(agent, { pid: 999_999 }, false, []))).to.equal(byPid);
    expect(await failureOf(closeInput(agent, { pid: 999_999 }))).to.equal(byPid);
    expect(await failureOf(connectProcess(agent, { tag: 'x' }).next())).to.equal(
      "AgentError not_found: process with tag 'x' not found",
    );
  });

  it('leave what they printed lately, oldest first', async () => {
    const { agent } = await startMachine();
    const before = Date.now();
    const { pid } = await run(agent, 'echo one');
    await run(agent, 'echo two >&2');
    const printed = await recentOutput(agent);
    const texts = printed.map(({ source, bytes }) => `${source} ${bytes}`);
    expect(texts).to.deep.equal(['stdout one\n', 'stderr two\n']);
    expect(printed[0]).to.include({ pid });
    expect(printed[0]?.at).to.be.within(before - 1, Date.now() + 1);
  });
});
