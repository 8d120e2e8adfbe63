import { expect } from 'chai';
import { MachineError } from '../../app/machines/error.ts';
import { noInternet } from '../../app/machines/network/rules.ts';
import { apiKey, itHere } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';
import { type Lifecycle, startLifecycle } from './lifecycle.ts';

type Result = { sandbox?: { sandboxID: string; envdAccessToken: string }; error?: object };

describe('forks of machines', () => {
  let one = {} as Lifecycle;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    one = await startLifecycle();
  });

  const fork = (id: string, body: object, key?: string) => {
    const request = one.e2b.post(`/sandboxes/${id}/fork`, body);
    return key === undefined ? request : request.set('Idempotency-Key', key);
  };
  /** Asserts that these sandboxes and no others have machines, soon. */
  async function expectOnly(ids: string[]): Promise<void> {
    await until('the removals', async () => (await one.rows()).length === ids.length);
    expect([...one.driver.machines.keys()].toSorted()).to.deep.equal(ids.toSorted());
    expect((await one.rows()).every(({ is_ready }) => is_ready === 1)).to.equal(true);
    expect((await one.e2b.listed()).toSorted()).to.deep.equal(ids.toSorted());
  }

  itHere('are copies of the machine, its size and its network, in both dialects', async () => {
    const { e2b, driver, vms, events } = one;
    const asked = { allow_internet_access: false, envVars: { A: '1' }, metadata: { a: 'b' } };
    const id = await e2b.create(asked);
    const { status, body } = await fork(id, { count: 3, timeout: 60 });
    const copies = (body as Result[]).map(({ sandbox }) => sandbox?.sandboxID as string);
    const clone = (await vms('post', `/v1/vms/${id}/clone`, {})).body.vm_id;
    expect(status).to.equal(201);
    const common = {
      isSnapshot: false,
      allowsSudo: false,
      runtime: null,
      network: noInternet,
      memoryMb: 512,
      vcpuCount: 2,
    };
    const expected = [...copies, clone].map((each) => ({ ...common, id: each, image: driver.specs[0]?.image }));
    expect(driver.specs.slice(1)).to.deep.equal(expected);
    expect(driver.calls.filter((call) => call === 'fork')).to.have.length(2);
    expect((body as Result[]).every(({ sandbox }) => sandbox?.envdAccessToken.length === 64)).to.equal(true);
    expect(await e2b.read(copies[2] as string)).to.deep.include({ metadata: { a: 'b' }, allowInternetAccess: false });
    expect((await events('vm.created')).at(-1)?.details.forked_from).to.equal(id);
    await expectOnly([id, ...copies, clone]);
  });

  itHere('say of each copy why it failed, and leave nothing of it; all failed: the answer is that', async () => {
    const { e2b, driver, events } = one;
    const id = await e2b.create();
    let full: string | undefined;
    driver.behaviour.fork = async (source, specs) => {
      full = specs[0]?.id;
      await driver.work.fork(source, specs.slice(1));
      return specs.map((_, n) => (n === 0 ? new MachineError('full', 'No room') : null));
    };
    driver.behaviour.channel = async (each) => {
      if (each === driver.specs.at(-1)?.id) throw new MachineError('gone', 'internal words');
      return driver.work.channel(each);
    };
    const { status, body } = await fork(id, { count: 4 }, 'k');
    expect([status, body.slice(2)]).to.deep.equal([
      201,
      [
        { error: { code: 503, message: 'No room' } },
        { error: { code: 500, message: 'The machine of the copy stopped while it started' } },
      ],
    ]);
    const made = (body as Result[]).flatMap(({ sandbox }) => sandbox?.sandboxID ?? []);
    await expectOnly([id, ...made]);
    const details = { reason: 'full', message: 'No room', forked_from: id };
    const failed = await events('vm.create_failed');
    expect(failed.map((each) => [each.subject, each.details])).to.have.deep.members([
      [full, details],
      [
        driver.specs.at(-1)?.id,
        { ...details, reason: 'failed', message: 'The machine of the copy stopped while it started' },
      ],
    ]);
    driver.behaviour = {};
    const again = (await fork(id, { count: 4 }, 'k')).body as Result[];
    const all = again.map(({ sandbox }) => sandbox?.sandboxID as string);
    expect([all.slice(0, 2), new Set(all).size]).to.deep.equal([made, 4]);
    expect((await fork(id, { count: 4 }, 'k')).body).to.deep.equal(again);
    driver.behaviour.fork = async () => {
      throw new MachineError('full', 'No room');
    };
    const none = await fork(id, { count: 2 });
    expect([none.status, none.body.message]).to.deep.equal([503, 'No room']);
    expect((await one.vms('post', `/v1/vms/${id}/clone`, {})).status).to.equal(503);
    expect(await events('vm.create_failed')).to.have.length(2 + 2 + 1);
    await expectOnly([id, ...all]);
  });

  itHere('leave nothing when the client leaves, and of a server that was killed meanwhile', async () => {
    const { e2b, driver, app, alice } = one;
    const id = await e2b.create();
    const url = await app.server.start();
    const headers = { ...apiKey(alice), 'Content-Type': 'application/json' };
    const begun = Promise.withResolvers<void>();
    driver.behaviour.fork = async (source, specs, signal) => {
      begun.resolve();
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      return driver.work.fork(source, specs);
    };
    const leaving = new AbortController();
    const request = { method: 'POST', headers, body: '{"count":2}', signal: leaving.signal };
    const left = fetch(`${url}/sandboxes/${id}/fork`, request).catch(() => null);
    await begun.promise;
    expect((await one.rows()).length).to.equal(3);
    leaving.abort();
    await left;
    await expectOnly([id]);
    await app.close();
    one = await startLifecycle(driver, { db: app.server.context.config.db });
    driver.machines.set('half', 'running');
    const half = { sandbox_id: 'half', owner_id: alice.id, image: 'x', driver: 'process', created_at: 0 };
    await one.app.server.context.store.db.insertInto('machines').values(half).execute();
    await one.app.close();
    one = await startLifecycle(driver, { db: app.server.context.config.db });
    await until('the clean-up', async () => (await one.rows()).length === 1 && driver.machines.size === 1);
  });
});
