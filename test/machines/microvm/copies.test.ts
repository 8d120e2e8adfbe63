import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Driver } from '../../../app/machines/driver.ts';
import { noInternet } from '../../../app/machines/network/rules.ts';
import { temporaryDirectory } from '../../helpers/server.ts';
import { machineSpec } from '../process/machine.ts';
import { FakeMsb } from './fake-msb.ts';
import { failure, folderIn, instance, named, openDriver, soon } from './setup.ts';

const snapshotOf = (name: string) => `sandpit-snapshot-${instance}-${name}:s`;

describe('copies of microVMs', () => {
  let directory: string;
  let folder: string;
  let msb: FakeMsb;
  let driver: Driver;

  beforeEach(() => {
    directory = temporaryDirectory();
    folder = folderIn(directory);
    msb = new FakeMsb(directory);
    driver = openDriver(directory, msb);
  });
  afterEach(() => driver.close());

  const create = (id: string, changes = {}) => driver.create(machineSpec(id, changes), soon());

  it('start from a snapshot, once more when msb was too impatient with itself', async () => {
    msb.answer('restore', { err: 'error: runtime error: runtime version probe timed out', code: 1 }, {});
    await create('one', { image: snapshotOf('s1'), isSnapshot: true });
    expect(msb.callsOf('restore')).to.have.length(2);
    expect(existsSync(join(folder, 'one', 's'))).to.equal(true);
    expect(msb.callsOf('exec')).to.deep.equal([]);
    msb.answer('restore', { err: 'error: snapshot not found: x', code: 1 });
    expect(await failure(create('two', { image: snapshotOf('s1'), isSnapshot: true }))).to.match(/^no_image /);
    msb.answer('create', { err: "error: sandbox already exists: sandbox 'x' already exists", code: 1 }, {});
    await create('three');
    expect(msb.callsOf('create')).to.have.length(2);
    msb.answer('create', { err: 'error: runtime version probe timed out', code: 1 });
    expect(await failure(create('four'))).to.match(/^timeout /);
    expect(msb.callsOf('create')).to.have.length(6);
    expect(existsSync(join(folder, 'four'))).to.equal(false);
    expect(await failure(create('two', { image: 'other:s', isSnapshot: true }))).to.match(/^no_image /);
  });

  it('are forks: one while the machine runs, several from one moment', async () => {
    await create('one');
    expect(await driver.fork('one', [machineSpec('a')], soon())).to.deep.equal([null]);
    const consent = '--dangerously-inherit-resources';
    const vsock = (id: string) => `--vsock ${folder}/${id}/s:5000/stream`;
    expect(msb.calls.slice(-1)).to.deep.equal([
      `fork -q ${named('one')} --name ${named('a')} ${consent} ${vsock('a')}`,
    ]);
    msb.answer('fork', {}, { err: 'error: no space left on device', code: 1 });
    const specs = [machineSpec('b', { network: noInternet }), machineSpec('c')];
    const [b, c] = await driver.fork('one', specs, soon());
    expect([b, c?.code]).to.deep.equal([null, 'full']);
    expect(msb.calls.slice(-5)).to.deep.equal([
      `pause -q ${named('one')}`,
      `fork -q ${named('one')} --name ${named('b')} ${consent} ${vsock('b')}`,
      `fork -q ${named('one')} --name ${named('c')} ${consent} ${vsock('c')}`,
      `remove -f ${named('c')}`,
      `resume -q ${named('one')}`,
    ]);
    expect(await failure(driver.fork('one', [machineSpec('d')], soon()))).to.match(/^full /);
  });

  it('are snapshots, which have a size, and of which a later one may build on an earlier', async () => {
    const artifact = join(directory, 'artifact');
    mkdirSync(join(artifact, 'memory'), { recursive: true });
    writeFileSync(join(artifact, 'memory', 'pages'), Buffer.alloc(100_000, 1));
    const listed = [
      {
        group: snapshotOf('s1').slice(0, -2),
        name: 's',
        snapshot_id: 'snap_1',
        parent_digest: null,
        artifact_path: artifact,
      },
      { group: snapshotOf('s2').slice(0, -2), name: 's', snapshot_id: 'snap_2', parent_digest: 'snap_1' },
      { group: 'others', name: 's', snapshot_id: 'snap_3', parent_digest: 'snap_2' },
    ];
    msb.answer('snapshot list', { out: listed });
    const { ref, sizeBytes } = await driver.snapshot('one', 's1', soon());
    expect(ref).to.equal(snapshotOf('s1'));
    expect(sizeBytes).to.be.within(100_000, 120_000);
    expect(await driver.snapshots()).to.deep.equal([
      { ref: snapshotOf('s1'), isUsed: true },
      { ref: snapshotOf('s2'), isUsed: false },
    ]);
    msb.answer('snapshot create', { err: 'error: no space left on device', code: 1 });
    msb.answer('snapshot remove', { err: 'error: snapshot not found: x', code: 1 });
    expect(await failure(driver.snapshot('one', 's3', soon()))).to.match(/^full /);
    expect(msb.calls.slice(-1)).to.deep.equal([`snapshot remove ${snapshotOf('s3')}`]);
    await driver.removeSnapshot(snapshotOf('s3'));
    msb.answer('snapshot remove', { err: 'error: snapshot snap_1 has 1 indexed child snapshot(s)', code: 1 });
    expect(await failure(driver.removeSnapshot(snapshotOf('s1')))).to.match(/^failed /);
    expect(await failure(driver.removeSnapshot('others:s'))).to.match(/^no_image /);
  });
});
