import { expect } from 'chai';
import { operations } from '../../app/machines/agent/agent.ts';
import { frameTypes } from '../../app/machines/agent/frames.ts';
import { MachineError } from '../../app/machines/error.ts';
import { Verbs } from '../../app/machines/lifecycle/verbs.ts';
import { noInternet, openNetwork } from '../../app/machines/network/rules.ts';
import { Collector } from '../../app/machines/snapshots/collector.ts';
import { Snapshots } from '../../app/machines/snapshots/take.ts';
import { deleteUser } from '../../db/accounts/users.ts';
import { inTransaction } from '../../db/store.ts';
import { actor, apiKey, itHere } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';
import { FakeDriver, forever } from './fake-driver.ts';
import { type Lifecycle, manifest, startLifecycle } from './lifecycle.ts';

describe('snapshots of machines', () => {
  beforeEach(function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
  });

  const take = ({ e2b }: Lifecycle, id: string, body: object = {}) => e2b.post(`/sandboxes/${id}/snapshots`, body);
  const held = async ({ app }: Lifecycle) =>
    (await app.server.context.store.db.selectFrom('machine_snapshots').select('ref').execute()).map(({ ref }) => ref);
  /** Asserts that the driver holds this many snapshots, soon, and each has a row. */
  async function expectHeld(one: Lifecycle, count: number): Promise<void> {
    await until(`${count} snapshots`, async () => one.driver.images.size === count);
    expect((await held(one)).toSorted()).to.deep.equal([...one.driver.images.keys()].toSorted());
  }

  itHere(
    'hold what the machine held after it wrote its files; sandboxes of both dialects start from them',
    async () => {
      const one = await startLifecycle();
      const { driver, e2b, vms } = one;
      const source = (await vms('post', '/v1/vms', { memory_mb: 1024, vcpu_count: 4 })).body.vm_id;
      const named = await take(one, source, { name: 'mine', memory: false });
      const vm = await vms('post', `/v1/vms/${source}/snapshot`, { name: 'other' });
      expect([named.status, vm.status]).to.deep.equal([201, 201]);
      expect(vm.body).to.deep.include({ size_bytes: 1, has_memory: false, vm_id: source });
      const opened = driver.agents.get(source)?.[0]?.received.filter(({ type }) => type === frameTypes.open);
      expect(opened?.filter(({ payload }) => payload[0] === operations.sync)).to.have.length(2);
      const refs = [...driver.images.keys()];
      const from = [
        (await e2b.post('/v2/sandboxes', { templateID: 'mine', allow_internet_access: false })).body.sandboxID,
        (await vms('post', '/v1/vms', { snapshot_id: vm.body.snapshot_id, memory_mb: 2048 })).body.vm_id,
      ];
      const common = { isSnapshot: true, allowsSudo: false, runtime: null, vcpuCount: 4 };
      expect(driver.specs.slice(1)).to.deep.equal([
        { ...common, id: from[0], image: refs[0], memoryMb: 1024, network: noInternet },
        { ...common, id: from[1], image: refs[1], memoryMb: 2048, network: openNetwork },
      ]);
      expect(await e2b.read(from[0])).to.include({ memoryMB: 1024, cpuCount: 4 });
      const template = { manifest, snapshot_id: vm.body.snapshot_id };
      expect((await vms('post', '/v1/templates', template)).status).to.equal(201);
      const bob = await one.app.addUser('bob');
      const run = await one.app.http.post('/v1/templates/box/runs').set(apiKey(bob)).send({});
      expect([run.status, driver.specs.at(-1)?.image]).to.deep.equal([201, refs[1]]);
      const foreign = await one.app.http.post('/v2/sandboxes').set(apiKey(bob)).send({ templateID: 'mine' });
      expect(foreign.status).to.equal(404);
    },
  );

  itHere('leave nothing when the engine, the agent, a rule or the database refuses, or the client leaves', async () => {
    const one = await startLifecycle();
    const { driver, app, e2b, vms, events } = one;
    const { store } = app.server.context;
    const id = await e2b.create();
    driver.behaviour.snapshot = async () => {
      throw new MachineError('full', 'No room');
    };
    const full = await take(one, id);
    expect([full.status, full.body.message]).to.deep.equal([503, 'No room']);
    driver.behaviour.snapshot = async () => {
      throw new MachineError('gone', 'internal words');
    };
    expect((await take(one, id)).body.message).to.equal('The machine of the sandbox has stopped');
    driver.behaviour = {};
    store.sqlite.exec("create temp trigger no before insert on snapshots begin select raise(abort, 'no'); end");
    const asked = driver.calls.length;
    expect((await take(one, id)).status).to.equal(500);
    expect(driver.calls.slice(asked)).not.to.include('snapshot');
    store.sqlite.exec('drop trigger no');
    driver.behaviour.snapshot = async (source, name) => {
      const taken = await driver.work.snapshot(source, name);
      store.sqlite.exec("create temp trigger no before insert on snapshots begin select raise(abort, 'no'); end");
      return taken;
    };
    expect((await take(one, id)).status).to.equal(500);
    store.sqlite.exec('drop trigger no');
    await expectHeld(one, 0);
    const begun = Promise.withResolvers<void>();
    driver.behaviour.snapshot = async (source, name, signal) => {
      begun.resolve();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return driver.work.snapshot(source, name);
    };
    const url = await app.server.start();
    const leaving = new AbortController();
    const headers = { ...apiKey(one.alice), 'Content-Type': 'application/json' };
    const request = { method: 'POST', headers, body: '{}', signal: leaving.signal };
    const left = fetch(`${url}/sandboxes/${id}/snapshots`, request).catch(() => null);
    await begun.promise;
    leaving.abort();
    await left;
    await until(
      'the answer of the engine',
      () => driver.calls.filter((call) => call === 'removeSnapshot').length === 2,
    );
    await expectHeld(one, 0);
    expect(await events('snapshot.created')).to.deep.equal([]);
    driver.behaviour = {};
    expect((await vms('post', `/v1/vms/${id}/snapshot`, { name: 'taken' })).status).to.equal(201);
    const calls = driver.calls.filter((call) => call === 'snapshot').length;
    expect((await vms('post', `/v1/vms/${id}/snapshot`, { name: 'taken' })).status).to.equal(409);
    expect((await take(one, `i${'0'.repeat(20)}`)).status).to.equal(404);
    expect(driver.calls.filter((call) => call === 'snapshot')).to.have.length(calls);
  });

  itHere('are taken one at a time of each machine, and 504: in time', async () => {
    const one = await startLifecycle();
    const { driver, e2b, app, alice } = one;
    const [id, other] = [await e2b.create(), await e2b.create()];
    const gate = Promise.withResolvers<void>();
    const began: string[] = [];
    driver.behaviour.snapshot = async (source, name) => {
      began.push(source);
      await gate.promise;
      return driver.work.snapshot(source, name);
    };
    const taking = [take(one, id), take(one, id), take(one, other)].map((answer) =>
      answer.then(({ status }) => status),
    );
    await until('two machines', () => began.length === 2);
    expect(began.toSorted()).to.deep.equal([id, other].toSorted());
    gate.resolve();
    expect(await Promise.all(taking)).to.deep.equal([201, 201, 201]);
    await expectHeld(one, 3);
    const { store, now, log, machines } = app.server.context;
    const { agentOf } = machines as NonNullable<typeof machines>;
    const parts = { store, now, driver, agentOf, verbs: new Verbs(), metrics: null };
    const snapshots = new Snapshots({ ...parts, collector: new Collector({ store, log, driver }) }, 30);
    driver.behaviour.snapshot = forever;
    const wanted = { name: null, replace: false };
    const order = { by: actor(alice), sandboxId: id, wanted, signal: new AbortController().signal };
    expect(await snapshots.take(order).catch(({ code }) => code)).to.equal('timeout');
    // The machine is not locked any more.
    expect(await snapshots.take(order).catch(({ code }) => code)).to.equal('timeout');
  });

  itHere('go when nothing names them, but not before their last machine', async () => {
    const one = await startLifecycle();
    const { driver, e2b } = one;
    const id = await e2b.create();
    await take(one, id, { name: 'a' });
    await e2b.post('/templates/tags', { target: 'a', tags: ['kept'] });
    const [first] = driver.images.keys();
    await take(one, id, { name: 'a' });
    await expectHeld(one, 2);
    const fromKept = await e2b.post('/v2/sandboxes', { templateID: 'a:kept' });
    expect(driver.specs.at(-1)?.image).to.equal(first);
    // The one that no tag names goes when it is replaced.
    const second = [...driver.images.keys()][1];
    await take(one, id, { name: 'a' });
    await until('the replaced one', () => !driver.images.has(second as string));
    await expectHeld(one, 2);
    expect((await e2b.remove('/templates/a:kept')).status).to.equal(204);
    await until('its row', async () => !(await held(one)).includes(first as string));
    expect(driver.images.has(first as string)).to.equal(true);
    await e2b.remove(`/sandboxes/${fromKept.body.sandboxID}`);
    await expectHeld(one, 1);
    driver.behaviour.removeSnapshot = () => Promise.reject(new MachineError('failed', 'busy'));
    const answered = await e2b.remove('/templates/a');
    expect(answered.status).to.equal(204);
    await one.app.logged(/snapshots could not be removed/);
    driver.behaviour = {};
    await take(one, id, { name: 'next' });
    await expectHeld(one, 1);
  });

  itHere('of crashes and deleted users go at the next start; those under way stay', async () => {
    const one = await startLifecycle();
    const id = await one.e2b.create();
    await take(one, id, { name: 'a' });
    await one.app.close();
    one.driver.images.set('left', new Set());
    const two = await startLifecycle(one.driver, { db: one.app.server.context.config.db });
    await until('the left one', () => !two.driver.images.has('left'));
    await expectHeld(two, 1);
    const gate = Promise.withResolvers<void>();
    two.driver.behaviour.snapshot = async (source, name) => {
      const taken = await two.driver.work.snapshot(source, name);
      await gate.promise;
      return taken;
    };
    const client = two.app.http.post(`/sandboxes/${id}/snapshots`).set(apiKey(one.alice));
    const taking = client.send({ name: 'b' }).then(({ status }) => status);
    await until('the second', () => two.driver.images.size === 2);
    two.driver.images.set('junk', new Set());
    const asked = () => two.driver.calls.filter((call) => call === 'snapshots').length;
    const before = asked();
    two.app.server.context.machines?.collectSnapshots();
    await until('the look', () => asked() > before);
    gate.resolve();
    expect(await taking).to.equal(201);
    // By now it is known that `junk` belongs to no work that still runs.
    two.app.server.context.machines?.collectSnapshots();
    await expectHeld(two, 2);
    await inTransaction(two.app.server.context.store.db, (trx) =>
      deleteUser(trx, one.alice.name, { withSandboxes: true }),
    );
    two.app.server.context.machines?.collectSnapshots();
    await expectHeld(two, 0);
  });

  itHere('with memory start machines of their size only; 501, 404: of another driver, and lost ones', async () => {
    const driver = new FakeDriver();
    driver.keepsMemory = true;
    const one = await startLifecycle(driver);
    const { e2b, vms, app } = one;
    const id = await e2b.create();
    const files = await take(one, id, { memory: false });
    expect([files.status, files.body.error_code]).to.deep.equal([400, 'snapshot_filesystem_only_disabled']);
    const { body } = await vms('post', `/v1/vms/${id}/snapshot`, { name: 'm' });
    expect(body.has_memory).to.equal(true);
    const start = (size: object) => vms('post', '/v1/vms', { snapshot_id: 'm', ...size });
    const refused = await start({ memory_mb: 1024 });
    expect([refused.status, refused.body.detail]).to.deep.equal([
      403,
      'The snapshot holds the memory of a machine with 512 MB and 2 virtual CPUs: ask for the same',
    ]);
    expect((await start({ memory_mb: 512, vcpu_count: 2 })).status).to.equal(201);
    expect((await vms('post', '/v1/templates', { manifest, snapshot_id: 'm' })).status).to.equal(403);
    driver.images.clear();
    const lost = await start({});
    expect([lost.status, lost.body.detail]).to.deep.equal([
      403,
      'The engine has lost what this snapshot holds: delete it and take another',
    ]);
    await app.server.context.store.db.updateTable('machine_snapshots').set({ driver: 'docker' }).execute();
    const other = await e2b.post('/sandboxes', { templateID: 'm' });
    expect([other.status, other.body.message]).to.deep.equal([
      501,
      'This snapshot was taken with the driver docker, and machines run with process now: take another one',
    ]);
  });
});
