import { expect } from 'chai';
import { rejection } from '../../sdk.ts';
import { eachSdkOnMachines } from '../session.ts';

describe("E2B's SDK on machines: snapshots and forks", () => {
  const { works } = eachSdkOnMachines();

  works('createSnapshot', async ({ Sandbox }) => {
    const source = await Sandbox.create();
    await source.files.write('app/config.json', '{"env":"test"}');
    const { snapshotId } = await source.createSnapshot();
    await source.files.write('app/config.json', 'changed later');
    const copies = await Promise.all([Sandbox.create(snapshotId), Sandbox.create(snapshotId)]);
    const [one, other] = copies;
    expect(await one.files.read('app/config.json')).to.equal('{"env":"test"}');
    await one.files.write('app/config.json', 'changed in one');
    expect(await other.files.read('app/config.json')).to.equal('{"env":"test"}');
    expect(await source.files.read('app/config.json')).to.equal('changed later');
    // A snapshot may go before the sandboxes that were made from it.
    expect(await Sandbox.deleteSnapshot(snapshotId)).to.equal(true);
    expect(await other.files.read('app/config.json')).to.equal('{"env":"test"}');
    await Promise.all([source, ...copies].map((each) => each.kill()));
  });

  works('createSnapshot: name', async ({ sandbox, Sandbox }) => {
    const first = await sandbox.createSnapshot({ name: 'mine' });
    expect(first.names[0]).to.match(/^[\w-]+\/mine$/);
    const { snapshotId } = await Sandbox.createSnapshot(sandbox.sandboxId, { name: 'mine' });
    const copy = await Sandbox.create('mine');
    expect((await copy.commands.run('echo hi')).stdout).to.equal('hi\n');
    await copy.kill();
    expect(await Sandbox.deleteSnapshot(snapshotId)).to.equal(true);
  });

  works('listSnapshots, deleteSnapshot', async ({ sandbox, Sandbox, Other, sdk }) => {
    const { snapshotId } = await sandbox.createSnapshot();
    const found = async (paginator: ReturnType<typeof Sandbox.listSnapshots>) =>
      (await paginator.nextItems()).some((snapshot) => snapshot.snapshotId === snapshotId);
    expect(await found(Sandbox.listSnapshots())).to.equal(true);
    expect(await found(sandbox.listSnapshots())).to.equal(true);
    expect(await found(Sandbox.listSnapshots({ sandboxId: 'iunknown' }))).to.equal(false);
    expect(await found(Other.listSnapshots())).to.equal(false);
    expect(await Other.deleteSnapshot(snapshotId)).to.equal(false);
    expect(await Sandbox.deleteSnapshot(snapshotId)).to.equal(true);
    expect(await Sandbox.deleteSnapshot(snapshotId)).to.equal(false);
    expect(await rejection(Sandbox.create(snapshotId))).to.be.instanceOf(sdk.SandboxError);
  });

  works('fork', async ({ Sandbox, sdk }) => {
    const source = await Sandbox.create();
    await source.files.write('state.txt', 'before');
    const forks = await source.fork({ count: 2, timeoutMs: 60_000 });
    const [one, other] = forks;
    if (!(one instanceof sdk.Sandbox && other instanceof sdk.Sandbox)) throw new Error(String(forks));
    expect(new Set([source, one, other].map(({ sandboxId }) => sandboxId)).size).to.equal(3);
    expect(await source.isRunning()).to.equal(true);
    expect(await one.files.read('state.txt')).to.equal('before');
    await one.files.write('state.txt', 'changed in one');
    expect([await other.files.read('state.txt'), await source.files.read('state.txt')]).to.deep.equal([
      'before',
      'before',
    ]);
    await Promise.all([one.kill(), other.kill(), source.kill()]);
    expect(await rejection(source.fork())).to.be.instanceOf(sdk.SandboxNotFoundError);
  });
});
