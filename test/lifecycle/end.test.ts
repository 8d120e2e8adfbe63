import { expect } from 'chai';
import { sandpit } from '../helpers/processes/process.ts';
import { itHere } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';
import { type Lifecycle, startLifecycle } from './lifecycle.ts';

describe('the end of a sandbox with a machine', () => {
  let { app, driver, e2b, events, rows, vms } = {} as Lifecycle;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    ({ app, driver, e2b, events, rows, vms } = await startLifecycle());
  });

  const health = async (id: string) => (await app.http.get('/health').set('E2b-Sandbox-Id', id)).status;
  const agentOf = (id: string) => app.server.context.machines?.agentOf(id) as Promise<{ closed: Promise<void> }>;
  const gone = async (id: string) =>
    !driver.machines.has(id) && !(await rows()).some(({ sandbox_id }) => sandbox_id === id);

  const ends: [string, (id: string) => Promise<unknown>][] = [
    ['a request of E2B’s client', (id) => e2b.remove(`/sandboxes/${id}`)],
    ['a request of InstaVM’s client', (id) => vms('delete', `/v1/vms/${id}`)],
    ['a kill of many', () => vms('post', '/v1/sandboxes/kill', { metadata: { kill: 'me' } })],
    ['sandpit kill, another process', () => sandpit(['kill', '--all', '--db', app.server.context.config.db])],
    ['its lifetime, before the sweeper has seen it', async () => (app.clock.now += 300_000)],
    ['a lifetime of 0', (id) => e2b.post(`/sandboxes/${id}/timeout`, { timeout: 0 })],
  ];
  for (const [what, end] of ends) {
    itHere(`cuts the connection and removes the machine: ${what}`, async () => {
      // The command reads the real clock.
      app.clock.now = Date.now();
      const id = await e2b.create({ metadata: { kill: 'me' } });
      const agent = await agentOf(id);
      expect(await health(id)).to.equal(204);
      await end(id);
      expect(await health(id)).to.equal(502);
      await agent.closed;
      await until('the removal', () => gone(id));
      expect(await agentOf(id).catch(({ code }) => code)).to.equal('gone');
    });
  }

  itHere('tries again until the engine has removed the machine', async () => {
    const id = await e2b.create();
    let failures = 3;
    driver.behaviour.remove = async (removed) => {
      if (failures-- > 0) throw new Error('the engine is away');
      await driver.work.remove(removed);
    };
    expect((await e2b.remove(`/sandboxes/${id}`)).status).to.equal(204);
    await until('the removal', () => gone(id));
    expect(failures).to.equal(-1);
    expect(app.log().match(/could not be removed/g)).to.have.length(1);
  });

  itHere('answers a kill although the engine hangs', async () => {
    const id = await e2b.create();
    driver.behaviour.remove = () => new Promise(() => {});
    expect((await e2b.remove(`/sandboxes/${id}`)).status).to.equal(204);
    expect(await health(id)).to.equal(502);
    expect(await e2b.listed()).to.deep.equal([]);
  });

  itHere('shares one connection among all that ask for it, and opens another when it breaks', async () => {
    const id = await e2b.create();
    const before = driver.calls.filter((call) => call === 'channel').length;
    const agent = await agentOf(id);
    for (const fake of driver.agents.get(id) ?? []) fake.end();
    await agent.closed;
    const agents = await Promise.all(Array.from({ length: 10 }, () => agentOf(id)));
    expect(new Set(agents).size).to.equal(1);
    expect(agents[0]).not.to.equal(agent);
    expect(driver.calls.filter((call) => call === 'channel').length).to.equal(before + 1);
  });

  for (const [reason, expected] of [
    ['exited', 'machine_died'],
    ['out_of_memory', 'out_of_memory'],
  ] as const) {
    itHere(`ends as died when its machine dies: ${expected}`, async () => {
      const [id, other] = [await e2b.create(), await e2b.create()];
      driver.die(id, reason);
      await until('the end', async () => (await events('vm.died')).length > 0);
      const [event] = await events('vm.died');
      expect([event?.subject, event?.details.reason, event?.details.to]).to.deep.equal([id, expected, 'killed']);
      const { body } = await e2b.get(`/events/sandboxes/${id}`);
      const types = body.map(({ type }: { type: string }) => type.replace('sandbox.lifecycle.', ''));
      expect(types, "the end among E2B's events").to.have.members(['created', 'killed']);
      await until('the removal', () => gone(id));
      expect([await e2b.listed(), await health(id), await health(other)]).to.deep.equal([[other], 502, 204]);
    });
  }
});
