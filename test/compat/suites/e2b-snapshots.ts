import { expect } from 'chai';
import { eachSdk, rejection, type Session } from '../sdk.ts';

type Listed = { snapshotId: string; names: string[] };

/** Returns the pages of snapshots. */
async function pagesOf(paginator: ReturnType<Session['Sandbox']['listSnapshots']>): Promise<Listed[][]> {
  const pages: Listed[][] = [];
  while (paginator.hasNext) pages.push(await paginator.nextItems());
  return pages;
}

describe("compatibility with E2B's SDK: snapshots and forks", () => {
  const { records } = eachSdk();

  records('createSnapshot', async ({ Sandbox, sdk }) => {
    const sandbox = await Sandbox.create();
    const snapshot = await sandbox.createSnapshot();
    expect(snapshot.snapshotId).to.be.a('string').and.not.be.empty;
    const again = await Sandbox.createSnapshot(sandbox.sandboxId);
    expect(again.snapshotId).not.to.equal(snapshot.snapshotId);
    expect((await sandbox.getInfo()).state).to.equal('running');
    expect(await rejection(Sandbox.createSnapshot('iunknown'))).to.be.instanceOf(sdk.SandboxNotFoundError);
  });

  records('createSnapshot: name', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create();
    const snapshot = await sandbox.createSnapshot({ name: 'mine' });
    expect(snapshot.names).to.have.length(1);
    expect(snapshot.names[0]).to.match(/^[\w-]+\/mine$/);
    // The name is taken over, not taken twice.
    expect(await sandbox.createSnapshot({ name: 'mine' })).to.deep.equal(snapshot);
    expect(await pagesOf(Sandbox.listSnapshots())).to.deep.equal([[snapshot]]);
  });

  records('listSnapshots', async ({ Sandbox, Other, app }) => {
    const source = await Sandbox.create();
    const other = await Sandbox.create();
    const first = await source.createSnapshot({ name: 'first' });
    app.clock.now += 1000;
    const second = await source.createSnapshot();
    app.clock.now += 1000;
    const third = await other.createSnapshot({ name: 'third' });
    const all = (await pagesOf(Sandbox.listSnapshots())).flat();
    expect(all).to.have.deep.members([first, second, third]);
    const pages = await pagesOf(Sandbox.listSnapshots({ limit: 2 }));
    expect(pages.map((page) => page.length)).to.deep.equal([2, 1]);
    expect(pages.flat()).to.deep.equal(all);
    expect(await pagesOf(Other.listSnapshots())).to.deep.equal([[]]);
  });

  records('listSnapshots: sandboxId, name', async ({ Sandbox }) => {
    const source = await Sandbox.create();
    const mine = await source.createSnapshot({ name: 'mine' });
    const other = await (await Sandbox.create()).createSnapshot({ name: 'other' });
    expect(await pagesOf(source.listSnapshots())).to.deep.equal([[mine]]);
    expect(await pagesOf(Sandbox.listSnapshots({ name: 'other' }))).to.deep.equal([[other]]);
    expect(await pagesOf(Sandbox.listSnapshots({ name: 'unknown' }))).to.deep.equal([[]]);
  });

  records('deleteSnapshot', async ({ Sandbox, Other }) => {
    const source = await Sandbox.create();
    const { snapshotId } = await source.createSnapshot({ name: 'mine' });
    expect(await Other.deleteSnapshot(snapshotId)).to.equal(false);
    expect(await Sandbox.deleteSnapshot(snapshotId)).to.equal(true);
    expect(await Sandbox.deleteSnapshot(snapshotId)).to.equal(false);
    await source.createSnapshot({ name: 'mine' });
    expect(await Sandbox.deleteSnapshot('mine')).to.equal(true);
    expect(await pagesOf(Sandbox.listSnapshots())).to.deep.equal([[]]);
  });

  records('create: from a snapshot', async ({ Sandbox }) => {
    const source = await Sandbox.create({ metadata: { source: 'yes' } });
    const { snapshotId } = await source.createSnapshot();
    await source.kill();
    const { sandboxId } = await Sandbox.create(snapshotId, { metadata: { copy: 'yes' } });
    const { templateId, state, metadata } = await Sandbox.getInfo(sandboxId);
    expect({ state, metadata }).to.deep.equal({ state: 'running', metadata: { copy: 'yes' } });
    expect(snapshotId.split(':')[0]).to.equal(templateId);
    const [found, ...others] = await Sandbox.list({ query: { template: templateId } }).nextItems();
    expect(found?.sandboxId).to.equal(sandboxId);
    expect(others).to.deep.equal([]);
  });

  records('fork', async ({ Sandbox, app, sdk }) => {
    const source = await Sandbox.create({ metadata: { a: 'b' } });
    const forks = await source.fork({ count: 2, timeoutMs: 60_000 });
    const ids = forks.map((fork) => (fork instanceof Error ? fork.message : fork.sandboxId));
    expect(new Set([...ids, source.sandboxId])).to.have.property('size', 3);
    for (const id of ids) {
      const endAt = new Date(app.clock.now + 60_000);
      expect(await Sandbox.getInfo(id)).to.deep.include({ state: 'running', endAt, metadata: { a: 'b' } });
    }
    expect(await Promise.all(forks.map((fork) => fork instanceof Error || fork.kill()))).to.deep.equal([true, true]);
    expect((await source.getInfo()).state).to.equal('running');
    expect(await source.fork()).to.have.length(1);
    expect(await rejection(Sandbox.fork('iunknown'))).to.be.instanceOf(sdk.SandboxNotFoundError);
  });
});
