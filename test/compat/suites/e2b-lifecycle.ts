import { expect } from 'chai';
import { eachSdk, rejection, type Session } from '../sdk.ts';

/** Returns the seconds from now to the end of a sandbox. */
async function secondsLeft({ Sandbox, app }: Session, id: string): Promise<number> {
  return ((await Sandbox.getInfo(id)).endAt.getTime() - app.clock.now) / 1000;
}

describe("compatibility with E2B's SDK: a lifetime", () => {
  const { works, records } = eachSdk();

  works('getInfo', async ({ Sandbox, Other, sdk }) => {
    const { sandboxId } = await Sandbox.create({ metadata: { a: 'b' } });
    const info = await Sandbox.getInfo(sandboxId);
    expect(info).to.deep.include({ sandboxId, state: 'running', metadata: { a: 'b' } });
    expect(info.lifecycle).to.deep.equal({ onTimeout: 'kill', autoResume: false });
    expect(await Sandbox.getFullInfo(sandboxId)).to.deep.equal(info);
    expect(await rejection(Other.getInfo(sandboxId))).to.be.instanceOf(sdk.SandboxNotFoundError);
  });

  works('connect', async (session) => {
    const { Sandbox, app } = session;
    const { sandboxId } = await Sandbox.create({ timeoutMs: 600_000 });
    const connected = await Sandbox.connect(sandboxId, { timeoutMs: 30_000 });
    expect(connected.sandboxId).to.equal(sandboxId);
    expect(await secondsLeft(session, sandboxId)).to.equal(600);
    await connected.connect({ timeoutMs: 900_000 });
    expect(await secondsLeft(session, sandboxId)).to.equal(900);
    app.clock.now += 700_000;
    await Sandbox.connect(sandboxId);
    expect(await secondsLeft(session, sandboxId)).to.equal(300);
    expect(await rejection(Sandbox.connect('iunknown'))).to.be.instanceOf(session.sdk.SandboxNotFoundError);
  });

  records('connect: resume', async (session) => {
    const { Sandbox, app } = session;
    const { sandboxId } = await Sandbox.create({ metadata: { a: 'b' }, timeoutMs: 60_000 });
    await Sandbox.pause(sandboxId);
    app.clock.now += 600_000;
    const sandbox = await Sandbox.connect(sandboxId, { timeoutMs: 30_000 });
    expect(await sandbox.getInfo()).to.deep.include({ sandboxId, state: 'running', metadata: { a: 'b' } });
    expect(await secondsLeft(session, sandboxId)).to.equal(30);
    expect(await sandbox.isRunning()).to.equal(true);
  });

  records(
    'connect: onResume',
    async ({ Sandbox }) => {
      const sandbox = await Sandbox.create();
      await sandbox.pause();
      await sandbox.connect({ onResume: 'reboot' });
      expect((await sandbox.getInfo()).state).to.equal('running');
    },
    { since: '2.50.0' },
  );

  works('setTimeout', async (session) => {
    const { Sandbox, sdk } = session;
    const sandbox = await Sandbox.create();
    await sandbox.setTimeout(10_000);
    expect(await secondsLeft(session, sandbox.sandboxId)).to.equal(10);
    await Sandbox.setTimeout(sandbox.sandboxId, 7_200_000);
    expect(await secondsLeft(session, sandbox.sandboxId)).to.equal(7200);
    expect(await rejection(Sandbox.setTimeout('iunknown', 1000))).to.be.instanceOf(sdk.SandboxNotFoundError);
  });

  records('pause', async ({ Sandbox, app, sdk }) => {
    const sandbox = await Sandbox.create();
    expect(await sandbox.pause()).to.equal(true);
    expect(await sandbox.pause()).to.equal(false);
    app.clock.now += 86_400_000;
    expect((await sandbox.getInfo()).state).to.equal('paused');
    expect(await rejection(Sandbox.pause('iunknown'))).to.be.instanceOf(sdk.SandboxNotFoundError);
  });

  records('pause: keepMemory', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create();
    expect(await sandbox.pause({ keepMemory: false })).to.equal(true);
    expect((await sandbox.getInfo()).state).to.equal('paused');
  });

  works('kill', async ({ Sandbox, sdk }) => {
    const sandbox = await Sandbox.create();
    expect(await sandbox.kill()).to.equal(true);
    expect(await sandbox.kill()).to.equal(false);
    expect(await rejection(sandbox.getInfo())).to.be.instanceOf(sdk.SandboxNotFoundError);
    const paused = await Sandbox.create();
    await paused.pause();
    expect(await Sandbox.kill(paused.sandboxId)).to.equal(true);
    expect(await Sandbox.kill('iunknown')).to.equal(false);
  });

  works('isRunning', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create();
    expect(await sandbox.isRunning()).to.equal(true);
    await sandbox.pause();
    expect(await sandbox.isRunning()).to.equal(false);
    await sandbox.kill();
    expect(await sandbox.isRunning()).to.equal(false);
  });

  works('onTimeout: kill', async ({ Sandbox, app, sdk }) => {
    const sandbox = await Sandbox.create({ timeoutMs: 60_000 });
    app.clock.now += 59_999;
    expect(await sandbox.isRunning()).to.equal(true);
    app.clock.now += 1;
    expect(await sandbox.isRunning()).to.equal(false);
    expect(await rejection(sandbox.getInfo())).to.be.instanceOf(sdk.SandboxNotFoundError);
    expect(await rejection(sandbox.setTimeout(1000))).to.be.instanceOf(sdk.SandboxNotFoundError);
    expect(await rejection(sandbox.connect())).to.be.instanceOf(sdk.SandboxNotFoundError);
    expect(await Sandbox.list().nextItems()).to.deep.equal([]);
    expect(await sandbox.kill()).to.equal(false);
  });

  records('onTimeout: pause', async ({ Sandbox, app, start }) => {
    const sandbox = await Sandbox.create({ timeoutMs: 60_000, lifecycle: { onTimeout: 'pause' } });
    app.clock.now += 60_000;
    expect(await sandbox.getInfo()).to.deep.include({ state: 'paused', endAt: new Date(start + 60_000) });
    expect(await sandbox.isRunning()).to.equal(false);
    await sandbox.connect();
    expect((await sandbox.getInfo()).state).to.equal('running');
  });
});
