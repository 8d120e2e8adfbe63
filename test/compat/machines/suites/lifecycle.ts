import { expect } from 'chai';
import { until } from '../../../helpers/until.ts';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines } from '../session.ts';

/** Connects to an address that the engine of a test can't reach, because it has no network. */
const connect = 'timeout 2 bash -c ": < /dev/tcp/1.1.1.1/9" 2>&1; :';
/** What the kernel says to a connection that network rules refuse. */
const closed = /No route to host/;

describe("E2B's SDK on machines: sandboxes", () => {
  const { works } = eachSdkOnMachines();

  works('create', async ({ Sandbox }) => {
    const [one, other] = await Promise.all([Sandbox.create({ metadata: { a: 'b' } }), Sandbox.create()]);
    expect(await one.isRunning()).to.equal(true);
    expect(await one.getInfo()).to.deep.include({ state: 'running', metadata: { a: 'b' }, templateId: 'base' });
    // Each has its own files and processes.
    await one.files.write('mine', 'text');
    expect(await other.files.exists('mine')).to.equal(false);
    expect(await other.commands.list()).to.deep.equal([]);
    await Promise.all([one.kill(), other.kill()]);
  });

  works('create: unknown template', async ({ Sandbox, sdk }) => {
    const error = await rejection(Sandbox.create('no-such-template'));
    expect(error.message).to.contain("template 'no-such-template' not found");
    expect(error).to.be.instanceOf(sdk.SandboxError);
  });

  works('connect', async ({ sandbox, Sandbox, Other, sdk, folder }) => {
    await sandbox.files.write(`${folder}/a`, 'text');
    const again = await Sandbox.connect(sandbox.sandboxId);
    expect(await again.files.read(`${folder}/a`)).to.equal('text');
    expect((await again.commands.run('echo hi')).stdout).to.equal('hi\n');
    expect(await rejection(Other.connect(sandbox.sandboxId))).to.be.instanceOf(sdk.SandboxNotFoundError);
  });

  works('isRunning, kill', async ({ Sandbox, sdk }) => {
    const sandbox = await Sandbox.create();
    expect(await sandbox.isRunning()).to.equal(true);
    const handle = await sandbox.commands.run('sleep 1000', { background: true, timeoutMs: 0 });
    const ended = rejection(handle.wait());
    expect(await sandbox.kill()).to.equal(true);
    expect(await sandbox.isRunning()).to.equal(false);
    const error = await ended;
    expect(error).to.be.instanceOf(sdk.TimeoutError);
    expect(error.message).to.match(/killed or reached its end of life|sandbox timeout/);
    expect(await rejection(sandbox.commands.run('true'))).to.be.instanceOf(sdk.SandboxNotFoundError);
    expect(await rejection(sandbox.commands.list())).to.be.instanceOf(sdk.TimeoutError);
    expect(await rejection(sandbox.files.read('a'))).to.be.instanceOf(sdk.TimeoutError);
    expect(await sandbox.kill()).to.equal(false);
  });

  works('create: timeoutMs', async ({ Sandbox, sdk }) => {
    const sandbox = await Sandbox.create({ timeoutMs: 60_000 });
    const handle = await sandbox.commands.run('sleep 1000', { background: true, timeoutMs: 0 });
    const ended = rejection(handle.wait());
    await sandbox.setTimeout(1000);
    expect(await ended).to.be.instanceOf(sdk.TimeoutError);
    expect(await sandbox.isRunning()).to.equal(false);
    expect(await rejection(sandbox.getInfo())).to.be.instanceOf(sdk.SandboxNotFoundError);
  });

  works('setTimeout', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create({ timeoutMs: 1000 });
    await sandbox.setTimeout(60_000);
    const { startedAt } = await sandbox.getInfo();
    await until('the first end is over', () => Date.now() > startedAt.getTime() + 1500);
    expect((await sandbox.commands.run('echo hi')).stdout).to.equal('hi\n');
    await sandbox.kill();
  });

  works('getMetrics', async ({ sandbox, Sandbox }) => {
    const { startedAt } = await sandbox.getInfo();
    await until('the first reading', async () => (await sandbox.getMetrics()).length > 0, 30_000);
    const [first] = await Sandbox.getMetrics(sandbox.sandboxId);
    expect(first?.timestamp.getTime()).to.be.within(startedAt.getTime(), Date.now());
    expect(first).to.include({ cpuCount: 2, memTotal: 512 * 2 ** 20 });
    expect(first?.cpuUsedPct).to.be.at.least(0);
    expect(first?.memUsed).to.be.above(0);
    expect(first?.diskTotal).to.be.above(0);
    const before = { start: new Date(startedAt.getTime() - 7_200_000), end: new Date(startedAt.getTime() - 3_600_000) };
    expect(await sandbox.getMetrics(before)).to.deep.equal([]);
  });

  works(
    'create: allowInternetAccess: false',
    async ({ Sandbox }) => {
      const sandbox = await Sandbox.create({ allowInternetAccess: false });
      expect((await sandbox.commands.run(connect)).stdout).to.match(closed);
      await sandbox.kill();
    },
    { engine: true },
  );

  works(
    'create: network',
    async ({ Sandbox }) => {
      const sandbox = await Sandbox.create({ network: { allowOut: ['1.0.0.0/24'], denyOut: ['0.0.0.0/0'] } });
      expect((await sandbox.commands.run(connect)).stdout).to.match(closed);
      await sandbox.kill();
    },
    { engine: true },
  );

  works(
    'updateNetwork',
    async ({ Sandbox }) => {
      const sandbox = await Sandbox.create();
      expect((await sandbox.commands.run(connect)).stdout).not.to.match(closed);
      await sandbox.updateNetwork({ denyOut: ['1.1.1.1'] });
      expect((await sandbox.commands.run(connect)).stdout).to.match(closed);
      await sandbox.kill();
    },
    { engine: true },
  );
});
