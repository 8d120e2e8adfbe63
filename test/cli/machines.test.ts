import { join } from 'node:path';
import { expect } from 'chai';
import { pruneMachines } from '../../app/cli/machines/prune.ts';
import type { Seen } from '../../app/cli/machines/survey.ts';
import type { Driver } from '../../app/machines/driver.ts';
import { openNetwork } from '../../app/machines/network/rules.ts';
import { createProcessDriver } from '../../app/machines/process/driver.ts';
import { createUser } from '../../db/accounts/users.ts';
import { cli } from '../../db/events/record.ts';
import { readInstance } from '../../db/machines/instance.ts';
import { openStore, type SqliteStore } from '../../db/sqlite/open.ts';
import { lockForServer } from '../../db/sqlite/server-lock.ts';
import { inTransaction } from '../../db/store.ts';
import { insertSandbox } from '../helpers/insert.ts';
import { commandsOn } from '../helpers/processes/commands.ts';
import { temporaryDirectory } from '../helpers/server.ts';

describe('sandpit machines', () => {
  let db: string;
  let store: SqliteStore;
  let driver: Driver;
  let owner: number;
  let madeAt: number;
  beforeEach(async () => {
    madeAt = Date.now() - 7.5 * 3_600_000;
    db = join(temporaryDirectory(), 'sandpit.db');
    store = openStore(db);
    driver = createProcessDriver({ instance: (await readInstance(store.db)).id, db });
    owner = (await inTransaction(store.db, (trx) => createUser(trx, Date.now(), cli, 'alice', null))).id;
  });
  afterEach(async () => {
    for (const { id } of await driver.list()) await driver.remove(id);
    await store.close();
  });

  const { run, runs } = commandsOn(() => db);
  const unanswering = () => ['--engine', `unix://${db}.socket`];

  const makeMachine = (id: string) => {
    const spec = { id, image: 'x', isSnapshot: false, vcpuCount: 1, memoryMb: 512 };
    const how = { network: openNetwork, allowsSudo: false, runtime: null } as const;
    return driver.create({ ...spec, ...how }, AbortSignal.timeout(20_000));
  };
  const addRow = (id: string, row: { is_ready?: 0 | 1; driver?: string; state?: 'running' | 'paused' } = {}) =>
    store.db
      .insertInto('machines')
      .values({
        sandbox_id: id,
        owner_id: owner,
        image: 'x',
        created_at: madeAt,
        driver: 'process',
        is_ready: 1,
        ...row,
      })
      .execute();
  const addSandbox = (id: string, status: 'active' | 'paused' | 'killed') => {
    const times = { startedAt: 0, endAt: status === 'active' ? null : 1 };
    const what = { templateId: null, metadata: {}, env: null, memoryMb: 640, vcpuCount: 2 };
    return inTransaction(store.db, (trx) => insertSandbox(trx, { id, ownerId: owner, status, ...what, ...times }));
  };
  const idsOf = async () => (await driver.list()).map(({ id }) => id).toSorted();
  const rowsOf = async () =>
    (await store.db.selectFrom('machines').select('sandbox_id').execute()).map((row) => row.sandbox_id);

  /** Makes machines that are needed (active, starting) and some that are not (ended, orphan). */
  async function makeAll(): Promise<void> {
    for (const id of ['active', 'ended', 'orphan', 'starting']) await makeMachine(id);
    for (const id of ['active', 'ended']) await addRow(id);
    await addRow('starting', { is_ready: 0 });
    await addSandbox('active', 'active');
    await addSandbox('ended', 'killed');
  }

  it('list shows what the database and its drivers know, and which driver does not answer', async () => {
    await makeMachine('active');
    await makeMachine('orphan');
    for (const id of ['active', 'lost']) {
      await addRow(id);
      await addSandbox(id, 'active');
    }
    await addRow('begun', { is_ready: 0 });
    await addRow('away', { driver: 'docker', state: 'paused' });
    await addSandbox('away', 'paused');
    const { code, stdout, stderr } = await run('machines', 'list', ...unanswering());
    expect(code).to.equal(0);
    expect(stderr).to.match(/^sandpit: docker: .+\n$/);
    expect(stdout.split('\n').map((line) => line.split(/ {2,}/))).to.deep.equal([
      ['SANDBOX', 'USER', 'STATUS', 'MACHINE', 'DRIVER', 'IMAGE', 'AGE', 'MEMORY MB'],
      ['active', 'alice', 'active', 'running', 'process', 'x', '7h', '640'],
      ['away', 'alice', 'paused', 'unknown (was paused)', 'docker', 'x', '7h', '640'],
      ['begun', 'alice', '-', 'starting', 'process', 'x', '7h', '-'],
      ['lost', 'alice', 'active', 'missing', 'process', 'x', '7h', '640'],
      ['orphan', '-', '-', 'running', 'process', '-', '-', '-'],
      [''],
    ]);
    const [first, away] = JSON.parse(await runs('machines', 'list', '--json', ...unanswering()));
    expect(first).to.deep.include({ sandbox_id: 'active', owner: 'alice', driver: 'process', memory_mb: 640 });
    expect(away).to.deep.include({ sandbox_id: 'away', state: 'unknown', recorded_state: 'paused' });
  });

  it('prune removes what nothing needs, and beside a server only machines that no row is written for', async () => {
    await makeAll();
    const signal = AbortSignal.timeout(20_000);
    for (const name of ['kept', 'stray']) await driver.snapshot('active', name, signal);
    store.sqlite.exec(`
      insert into machine_snapshots values ('kept', 'process', 0, null, 0, 1, 0), ('unnamed', 'process', 0, null, 0, 1, 0);
      insert into snapshots (id, owner_id, name, metadata, memory_mb, vcpu_count, created_at, updated_at, machine_ref)
      values ('s', ${owner}, null, '{}', 512, 2, 0, 0, 'kept');
    `);
    const planned = JSON.parse(await runs('machines', 'prune', '--dry-run', '--json'));
    const all = { machines: ['ended', 'orphan'], snapshots: ['stray'], failed: [] };
    expect(planned).to.deep.equal({ ...all, dry_run: true });
    expect(await idsOf()).to.deep.equal(['active', 'ended', 'orphan', 'starting']);

    const server = lockForServer(db);
    const { code, stdout, stderr } = await run('machines', 'prune').finally(() => server.release());
    expect([code, stdout]).to.deep.equal([
      0,
      'KIND     ID      DRIVER\nmachine  ended   process\nmachine  orphan  process\n',
    ]);
    expect(stderr).to.match(/^Snapshots are left to the server.*\nRemoved 2 machines and 0 snapshots\.\n$/);
    expect([await idsOf(), await rowsOf()]).to.deep.equal([
      ['active', 'starting'],
      ['active', 'starting'],
    ]);
    expect((await driver.snapshots()).map(({ ref }) => ref).toSorted()).to.deep.equal(['kept', 'stray']);

    const pruned = JSON.parse(await runs('machines', 'prune', '--json'));
    expect(pruned).to.deep.equal({ ...all, machines: [], dry_run: false });
    expect((await driver.snapshots()).map(({ ref }) => ref)).to.deep.equal(['kept']);
    await driver.removeSnapshot('kept');
  });

  it('prune says what it could not remove or look at, removes the rest, and fails', async () => {
    await addRow('ended');
    await addRow('away', { driver: 'docker' });
    const { code, stderr } = await run('machines', 'prune', ...unanswering());
    expect(code).to.equal(1);
    expect(stderr).to.match(/^sandpit: docker: .*\nRemoved 1 machine and 0 snapshots\.\nsandpit: not all .*\n$/);
    expect(await rowsOf()).to.deep.equal(['away']);
  });

  it('prune looks again before each removal, and goes on after one that failed', async () => {
    const orphan = (id: string): Seen => ({ id, driver: 'process', state: 'running', record: null });
    const removed: string[] = [];
    const remove = async (id: string) => {
      if (id === 'first') {
        await addRow('begun', { is_ready: 0 });
        throw new Error('the engine is ill');
      }
      removed.push(id);
    };
    const fake = { name: 'process', remove } as Driver;
    const survey = { machines: ['first', 'begun', 'last'].map(orphan), drivers: [fake], silent: 0 };
    const pruned = await pruneMachines(survey, { db: store.db, now: Date.now, isDryRun: false });
    expect(removed).to.deep.equal(['last']);
    expect(pruned.map(({ id, error }) => [id, error])).to.deep.equal([
      ['first', 'the engine is ill'],
      ['last', null],
    ]);
  });
});
