import { expect } from 'chai';
import { Connections } from '../../app/machines/connections.ts';
import { MachineError } from '../../app/machines/error.ts';
import { KeysUnderWay } from '../../app/machines/launch/keys.ts';
import { Launcher } from '../../app/machines/launch/launch.ts';
import { Starts } from '../../app/machines/launch/starts.ts';
import { Removals } from '../../app/machines/lifecycle/removals.ts';
import { openNetwork } from '../../app/machines/network/rules.ts';
import { cli } from '../../db/events/record.ts';
import { createSandbox } from '../../db/sandboxes/create.ts';
import { apiKey, itHere, startApp, startTime } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';
import { FakeDriver, forever } from './fake-driver.ts';
import { startLifecycle } from './lifecycle.ts';

const machine = { vcpuCount: 1, memoryMb: 128, network: openNetwork } as const;
const sandbox = { templateId: null, metadata: {}, env: null, lifetimeSeconds: 60 };

describe('the limits of a start', () => {
  /** Returns a function that starts a sandbox within short limits, on an engine that may hang. */
  async function launching(driver: FakeDriver, limits: { waitMilliseconds: number; startMilliseconds: number }) {
    const { server, addUser } = await startApp();
    const { store, log } = server.context;
    const by = { ...cli, ownerId: (await addUser('alice')).id };
    const common = { store, log, driver, now: () => startTime };
    const connections = new Connections(common);
    const removals = new Removals(common);
    const images = {
      imageOf: async () => {
        const plain = { allowsSudo: false, runtime: null, size: null, setup: null };
        return { image: 'x', isSnapshot: false, hasMemory: false, ...plain };
      },
      missing: () => new Error('missing') as never,
      check: () => {},
    };
    const shared = { starts: new Starts(), keys: new KeysUnderWay() };
    const launcher = new Launcher({ ...common, ...shared, connections, removals, images, metrics: null }, limits);
    const rows = () => store.db.selectFrom('machines').selectAll().execute();
    const signal = new AbortController().signal;
    const launch = () =>
      launcher.launch({
        by,
        keyed: null,
        templateId: null,
        machine,
        insert: (trx, id) => createSandbox(trx, startTime, by, { ...sandbox, id }),
        signal,
      });
    return { launch, rows };
  }

  itHere('timeout: an engine that hangs while it creates, or an agent that never answers', async () => {
    for (const behaviour of [{ create: forever }, { channel: forever }]) {
      const driver = new FakeDriver();
      driver.behaviour = behaviour;
      const { launch, rows } = await launching(driver, { waitMilliseconds: 20_000, startMilliseconds: 50 });
      expect(await launch().catch(({ code }) => code)).to.equal('timeout');
      await until('the removal', async () => (await rows()).length === 0 && driver.machines.size === 0);
    }
  });

  itHere('timeout: a machine that the engine makes after it was given up is removed, too', async () => {
    const driver = new FakeDriver();
    const gate = Promise.withResolvers<void>();
    driver.behaviour.create = async (spec) => {
      await gate.promise;
      await driver.work.create(spec);
    };
    const { launch, rows } = await launching(driver, { waitMilliseconds: 20_000, startMilliseconds: 50 });
    expect(await launch().catch(({ code }) => code)).to.equal('timeout');
    await until('the first removal', async () => (await rows()).length === 0);
    gate.resolve();
    await until('the machine', () => driver.specs.length === 1);
    await until('the second removal', () => driver.machines.size === 0);
  });

  itHere('full: a create whose turn does not come in time', async () => {
    const driver = new FakeDriver();
    driver.behaviour.create = forever;
    const { launch } = await launching(driver, { waitMilliseconds: 50, startMilliseconds: 1000 });
    const codes = await Promise.all(Array.from({ length: 9 }, () => launch().catch(({ code }) => code)));
    expect(codes.filter((code) => code === 'full')).to.have.length(1);
    expect(codes.filter((code) => code === 'timeout')).to.have.length(8);
  });

  itHere('are recorded when the machine is the reason, and not when the request is', async () => {
    const { app, alice, driver, e2b, vms } = await startLifecycle();
    driver.behaviour.create = () => Promise.reject(new MachineError('full', 'The engine has no room'));
    expect((await e2b.post('/sandboxes', { templateID: 'base' })).status).to.equal(503);
    const events = (query: object) => app.http.get('/v1/audit/events').query(query).set(apiKey(alice));
    const { body } = await events({ status: 'failure' });
    const [id] = body.events.map(({ sandbox_id }: { sandbox_id: string }) => sandbox_id);
    const details = { reason: 'full', message: 'The engine has no room', template_id: 'base' };
    expect(body.events).to.have.length(1);
    expect(body.events[0]).to.deep.include({ kind: 'vm.create_failed', status: 'failure', subject: id, details });
    expect(body.items[0]).to.include({ status: 'failure', error_message: 'The engine has no room', vm_id: id });
    expect((await vms('get', `/v1/vms/${id}`)).status).to.equal(404);
    expect((await e2b.get('/events/sandboxes')).body, "E2B's events").to.deep.equal([]);
    driver.behaviour = {};
    await e2b.post('/sandboxes', { templateID: 'base', metadata: { large: 'x'.repeat(70_000) } });
    expect((await events({ kind: 'vm.create_failed' })).body.events).to.have.length(1);
    const others = (await events({ status: 'success', event_group: 'vm' })).body.events;
    expect(others).to.deep.equal([]);
  });

  itHere('are counted in the metrics, with the machines that run', async () => {
    const { app, driver, e2b } = await startLifecycle(undefined, { metricsPort: 0, port: 0 });
    await app.server.start();
    const id = await e2b.create();
    await e2b.create();
    driver.behaviour.create = () => Promise.reject(Object.assign(new Error('no'), { code: 'full' }));
    expect((await e2b.post('/sandboxes', { templateID: 'base' })).status).to.equal(500);
    const text = async () => (await fetch(app.server.metricsUrl() as string)).text();
    expect(await text()).to.match(/^sandpit_machines\{state="running"\} 2$/m);
    expect(await text()).to.match(/^sandpit_machine_start_duration_seconds_count\{outcome="started"\} 2$/m);
    expect(await text()).to.match(/^sandpit_machine_start_duration_seconds_count\{outcome="refused"\} 1$/m);
    await e2b.remove(`/sandboxes/${id}`);
    await until('the removal', async () => /^sandpit_machines\{state="running"\} 1$/m.test(await text()));
  });
});
