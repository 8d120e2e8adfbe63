import { expect } from 'chai';
import { MachineError } from '../../app/machines/error.ts';
import { newSandboxId } from '../../db/sandboxes/insert.ts';
import { itHere, startApp } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';
import { FakeDriver, forever } from './fake-driver.ts';
import { type Lifecycle, startLifecycle } from './lifecycle.ts';

describe('records and machines', () => {
  beforeEach(function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
  });

  /** Stops the server, lets something happen, and starts another on its database and engine. */
  async function restarted(one: Lifecycle, meanwhile: () => unknown = () => {}): Promise<Lifecycle> {
    await one.app.close();
    await meanwhile();
    return startLifecycle(one.driver, { db: one.app.server.context.config.db });
  }

  itHere('stay as they are over a restart of the server', async () => {
    const one = await startLifecycle();
    const id = await one.e2b.create();
    const { envdAccessToken } = await one.e2b.read(id);
    const two = await restarted(one);
    await until('the comparison', () => two.driver.calls.filter((call) => call === 'list').length >= 2);
    await two.app.server.context.machines?.agentOf(id);
    expect(two.app.server.context.machines?.tokenOf(id)).to.equal(envdAccessToken);
    expect([...two.driver.machines]).to.deep.equal([[id, 'running']]);
    expect(await two.events('vm.died')).to.deep.equal([]);
  });

  itHere('agree after a restart: machines without a record go, records without a machine end', async () => {
    const one = await startLifecycle();
    const [kept, lost, stopped] = [await one.e2b.create(), await one.e2b.create(), await one.e2b.create()];
    const orphan = newSandboxId();
    const two = await restarted(one, () => {
      one.driver.machines.delete(lost as string);
      one.driver.machines.set(stopped as string, 'stopped');
      one.driver.machines.set(orphan, 'running');
    });
    await until('the ends', async () => (await two.events('vm.died')).length === 2);
    const reasons = (await two.events('vm.died')).map(({ subject, details }) => [subject, details.reason]);
    expect(Object.fromEntries(reasons)).to.deep.equal({ [lost]: 'machine_missing', [stopped]: 'machine_died' });
    await until('the removals', async () => two.driver.machines.size === 1 && (await two.rows()).length === 1);
    expect([...two.driver.machines.keys()]).to.deep.equal([kept]);
  });

  itHere('agree when a server with records only was in between', async () => {
    const one = await startLifecycle(new FakeDriver([]));
    const id = await one.e2b.create();
    await one.app.close();
    const { db } = one.app.server.context.config;
    const records = await startApp({ db });
    const user = await records.addUser('carol');
    const recorded = await records.insert(user);
    const paused = await records.insert(user, { status: 'paused' });
    expect((await records.server.context.store.db.selectFrom('machines').selectAll().execute()).length).to.equal(1);
    await records.close();
    expect([...one.driver.machines.keys()]).to.deep.equal([id]);
    const two = await startLifecycle(one.driver, { db });
    await until('the end', async () => (await two.events('vm.died')).length === 1);
    expect((await two.events('vm.died')).map(({ subject }) => subject)).to.deep.equal([recorded]);
    const answer = await two.app.http
      .post(`/sandboxes/${paused}/connect`)
      .set('X-API-Key', user.key)
      .send({ timeout: 9 });
    expect([answer.status, answer.body.message]).to.deep.equal([
      501,
      'Sandboxes cannot be resumed: the machines of this server do not offer it; create a new one',
    ]);
  });

  itHere('are left alone by an engine that is away or hangs, and the server starts and answers', async () => {
    const one = await startLifecycle();
    const id = await one.e2b.create();
    for (const list of [forever, () => Promise.reject(new MachineError('unavailable', 'away'))]) {
      const two = await restarted(one, () => {
        one.driver.behaviour.list = list;
        one.driver.calls.splice(0);
      });
      await until('the question', () => two.driver.calls.includes('list'));
      expect((await two.app.http.get('/health')).status).to.equal(200);
      expect((await two.app.http.get('/v2/sandboxes').set('X-API-Key', one.alice.key)).body.length).to.equal(1);
      await two.app.close();
    }
    one.driver.behaviour = {};
    one.driver.calls.splice(0);
    const last = await startLifecycle(one.driver, { db: one.app.server.context.config.db });
    await until('the comparison', () => last.driver.calls.includes('list'));
    await last.app.server.context.machines?.agentOf(id);
    expect(await last.events('vm.died')).to.deep.equal([]);
  });

  itHere('agree after an engine is back: what died meanwhile ends', async () => {
    const driver = new FakeDriver();
    let isAway = false;
    const away = () => new MachineError('unavailable', 'away');
    driver.behaviour.list = async () => {
      if (isAway) throw away();
      return driver.work.list();
    };
    const one = await startLifecycle(driver);
    const [lost, kept] = [await one.e2b.create(), await one.e2b.create()];
    isAway = true;
    driver.failDeaths(away());
    driver.die(lost as string, 'exited', false);
    await one.app.logged(/deaths of machines cannot be followed/);
    expect((await one.e2b.listed()).length).to.equal(2);
    isAway = false;
    driver.failDeaths(null);
    await until('the end', async () => (await one.events('vm.died')).length === 1);
    expect(await one.e2b.listed()).to.deep.equal([kept]);
  });
});
