import { expect } from 'chai';
import { createProcessDriver } from '../../app/machines/process/driver.ts';
import { readInstance } from '../../db/machines/instance.ts';
import { call, run, start } from '../helpers/clients/connect-client.ts';
import { type Machine, signed, startMachine } from '../helpers/clients/machine-client.ts';
import { apiKey, itHere, startApp, type TestApp } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';

const counting = 'while :; do echo >> count; sleep 0.01; done';

describe('pausing and resuming a sandbox with its processes', () => {
  let machine = {} as Machine;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    const app = await startApp({ machines: 'process', port: 0 });
    machine = await startMachine(app, await app.server.start());
  });

  const post = (path: string, body?: object) =>
    machine.app.http.post(`/sandboxes/${machine.id}${path}`).set(apiKey(machine.owner)).send(body);
  const state = async () =>
    (await machine.app.http.get(`/sandboxes/${machine.id}`).set(apiKey(machine.owner))).body.state;
  const health = async (headers = {}) =>
    (await machine.app.http.get('/health').set({ 'E2b-Sandbox-Id': machine.id, ...headers })).status;
  const count = async () => Number((await run(machine, 'cat count | wc -l')).stdout);

  async function driverOf({ server }: TestApp) {
    const { store, config } = server.context;
    return createProcessDriver({ instance: (await readInstance(store.db)).id, db: config.db });
  }

  async function machineState(): Promise<string | undefined> {
    const found = await (await driverOf(machine.app)).list();
    return found.find(({ id }) => id === machine.id)?.state;
  }

  async function startCounting(): Promise<void> {
    await start(machine, { cmd: '/bin/sh', args: ['-c', counting] });
    await until('the first count', async () => (await count()) > 0);
  }

  itHere('a process goes on where it was, and the sandbox answers like one that does not run meanwhile', async () => {
    await startCounting();
    expect((await post('/pause', { memory: true })).status).to.equal(204);
    expect([await machineState(), await state(), await health()]).to.deep.equal(['paused', 'paused', 502]);
    expect((await call(machine, 'process.Process/List', {})).status).to.equal(502);
    expect((await machine.read('count')).status).to.equal(502);
    const resumed = await post('/connect', { timeout: 60 });
    expect([resumed.status, await machineState(), await health()]).to.deep.equal([201, 'running', 204]);
    const then = await count();
    await until('the next count', async () => (await count()) > then);
    expect((await call(machine, 'process.Process/List', {})).body.processes).to.have.length(1);
  });

  itHere('without memory its files stay and its processes end', async () => {
    await startCounting();
    expect((await post('/pause', { memory: false })).status).to.equal(204);
    expect(await machineState()).to.equal('stopped');
    expect((await post('/resume', { timeout: 60 })).status).to.equal(201);
    const kept = await count();
    expect(kept).to.be.above(0);
    expect((await call(machine, 'process.Process/List', {})).body.processes).to.deep.equal([]);
    expect((await post('/pause', { memory: true })).status).to.equal(204);
    // A resume may leave the memory behind, too.
    expect((await post('/connect', { timeout: 60, memory: false })).status).to.equal(201);
    expect(await count()).to.equal(kept);
  });

  itHere('at its end it is paused, and the next command with the token goes on with it', async () => {
    machine = await startMachine(machine.app, machine.url, {
      timeout: 60,
      autoPause: true,
      autoResume: { enabled: true },
    });
    await startCounting();
    machine.app.clock.now += 60_000;
    expect(await state()).to.equal('paused');
    await until('the pause', async () => (await machineState()) === 'paused');
    expect(await state()).to.equal('paused');
    const then = await count();
    await until('the next count', async () => (await count()) > then);
    expect([await state(), await health()]).to.deep.equal(['running', 204]);
    // The first run was short, so this one has five minutes. A signed URL is a credential, too.
    machine.app.clock.now += 300_000;
    await until('the pause', async () => (await machineState()) === 'paused');
    const named = { 'E2b-Sandbox-Id': machine.id };
    const wrong = await machine.call(`/files?${signed('x', 'read', 'count')}`, { headers: named });
    expect([wrong.status, await state()]).to.deep.equal([502, 'paused']);
    const file = await machine.call(`/files?${signed(machine.token, 'read', 'count')}`, { headers: {} });
    expect([file.status, await state()]).to.deep.equal([200, 'running']);
  });

  itHere('a kill while it is paused leaves nothing of it', async () => {
    await startCounting();
    expect((await post('/pause', { memory: true })).status).to.equal(204);
    const killed = await machine.app.http.delete(`/sandboxes/${machine.id}`).set(apiKey(machine.owner));
    expect(killed.status).to.equal(204);
    await until('the removal', async () => (await machineState()) === undefined);
  });
});
