import { expect } from 'chai';
import { until } from '../../../helpers/until.ts';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines, type Sandbox } from '../session.ts';

const counting = 'i=0; while :; do i=$((i+1)); echo $i > count; sleep 0.01; done';
const background = { background: true, timeoutMs: 0 } as const;

async function isPaused(sandbox: Sandbox): Promise<boolean> {
  return (await sandbox.getInfo()).state === 'paused';
}

describe("E2B's SDK on machines: pausing", () => {
  const { works } = eachSdkOnMachines();

  works('pause, connect', async ({ Sandbox, sdk }) => {
    const sandbox = await Sandbox.create({ envs: { A: 'kept' } });
    const { pid } = await sandbox.commands.run(counting, background);
    await until('the first count', () => sandbox.files.exists('count'));
    expect(await sandbox.pause()).to.equal(true);
    expect(await sandbox.pause()).to.equal(false);
    expect(await sandbox.isRunning()).to.equal(false);
    expect(await rejection(sandbox.files.read('count'))).to.be.instanceOf(sdk.TimeoutError);
    expect((await sandbox.connect()).sandboxId).to.equal(sandbox.sandboxId);
    expect(await sandbox.isRunning()).to.equal(true);
    const count = async () => Number(await sandbox.files.read('count'));
    const then = await count();
    await until('the process goes on', async () => (await count()) > then);
    expect((await sandbox.commands.list()).map((process) => process.pid)).to.deep.equal([pid]);
    expect((await sandbox.commands.connect(pid)).pid).to.equal(pid);
    expect((await sandbox.commands.run('echo "$A"')).stdout).to.equal('kept\n');
    await sandbox.betaPause();
    expect(await sandbox.kill()).to.equal(true);
  });

  works('pause: keepMemory', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create();
    await sandbox.files.write('mine', 'text');
    await sandbox.commands.run('sleep 1000', background);
    expect(await sandbox.pause({ keepMemory: false })).to.equal(true);
    expect(await sandbox.isRunning()).to.equal(false);
    await sandbox.connect();
    expect(await sandbox.files.read('mine')).to.equal('text');
    expect(await sandbox.commands.list()).to.deep.equal([]);
    await sandbox.kill();
  });

  works('onTimeout: pause', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create({ timeoutMs: 60_000, lifecycle: { onTimeout: 'pause' } });
    await sandbox.commands.run('sleep 1000', background);
    await sandbox.setTimeout(1000);
    await until('the end', () => isPaused(sandbox));
    expect(await sandbox.isRunning()).to.equal(false);
    await sandbox.connect({ timeoutMs: 60_000 });
    expect(await sandbox.commands.list()).to.have.length(1);
    await sandbox.kill();
  });

  works('autoResume', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create({ lifecycle: { onTimeout: 'pause', autoResume: true } });
    await sandbox.files.write('mine', 'text');
    await sandbox.pause();
    expect(await isPaused(sandbox)).to.equal(true);
    expect(await sandbox.files.read('mine')).to.equal('text');
    expect(await isPaused(sandbox)).to.equal(false);
    await sandbox.pause();
    expect((await sandbox.commands.run('echo hi')).stdout).to.equal('hi\n');
    await sandbox.kill();
  });
});
