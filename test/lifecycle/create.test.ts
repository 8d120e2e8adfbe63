import { expect } from 'chai';
import { MachineError, type MachineErrorCode } from '../../app/machines/error.ts';
import { noInternet, openNetwork } from '../../app/machines/network/rules.ts';
import { apiKey, itHere } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';
import { forever } from './fake-driver.ts';
import { type Lifecycle, startLifecycle } from './lifecycle.ts';

const base = { templateID: 'base' };

describe('a create with machines', () => {
  let { app, driver, alice, e2b, events, rows, vms } = {} as Lifecycle;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    ({ app, driver, alice, e2b, events, rows, vms } = await startLifecycle());
  });

  /** Asserts that a failed create has left nothing. */
  async function expectNothing(): Promise<void> {
    await until('the removal of what was begun', async () => (await rows()).length === 0 && driver.machines.size === 0);
    expect(await e2b.listed()).to.deep.equal([]);
    expect(await events('vm.created')).to.deep.equal([]);
  }

  itHere('starts a machine of the size and network that were asked for, in every dialect', async () => {
    const asked = { ...base, allow_internet_access: false, envVars: { A: '1' }, metadata: { a: 'b' } };
    const offline = (await e2b.post('/v2/sandboxes', asked)).body.sandboxID;
    const first = (await e2b.post('/sandboxes', base)).body.sandboxID;
    const vm = await vms('post', '/v1/vms', { memory_mb: 1024, vcpu_count: 4 });
    const session = await vms('post', '/v1/sessions/session', { api_key: alice.key, memory_mb: 256 });
    expect([vm.status, session.status]).to.deep.equal([201, 200]);
    const last = (await vms('get', `/v1/sessions/session/${session.body.session_id}`)).body.vm_id;
    const common = { image: 'docker.io/library/python:3.12', isSnapshot: false, allowsSudo: false, runtime: null };
    expect(driver.specs).to.deep.equal([
      { ...common, id: offline, network: noInternet, memoryMb: 512, vcpuCount: 2 },
      { ...common, id: first, network: openNetwork, memoryMb: 512, vcpuCount: 2 },
      { ...common, id: vm.body.vm_id, network: openNetwork, memoryMb: 1024, vcpuCount: 4 },
      { ...common, id: last, network: openNetwork, memoryMb: 256, vcpuCount: 2 },
    ]);
    expect((await rows()).every(({ is_ready }) => is_ready === 1)).to.equal(true);
    expect((await e2b.listed()).toSorted()).to.deep.equal([offline, first, vm.body.vm_id, last].toSorted());
  });

  itHere('shows the same access token wherever a client may read it, and another for each sandbox', async () => {
    const { body } = await e2b.post('/v2/sandboxes', base);
    const other = (await e2b.post('/sandboxes', base)).body;
    const path = `/sandboxes/${body.sandboxID}`;
    const connected = await e2b.post(`${path}/connect`, { timeout: 60 });
    const again = await e2b.post(`/v2${path}/connect`, { timeout: 60 });
    const tokens = [connected.body, again.body, (await e2b.get(path)).body].map((shown) => shown.envdAccessToken);
    expect(body.envdAccessToken).to.match(/^[0-9a-f]{64}$/);
    expect(tokens).to.deep.equal(Array(3).fill(body.envdAccessToken));
    expect(other.envdAccessToken)
      .to.match(/^[0-9a-f]{64}$/)
      .and.not.equal(body.envdAccessToken);
    expect(JSON.stringify((await e2b.list()).body) + app.log()).not.to.contain(body.envdAccessToken);
  });

  itHere('lists the sandbox only once its machine runs, and its lifetime begins then', async () => {
    const gate = Promise.withResolvers<void>();
    driver.behaviour.create = async (spec) => {
      await gate.promise;
      await driver.work.create(spec);
    };
    const creating = e2b.post('/v2/sandboxes', { ...base, timeout: 60 }).then((res) => res);
    await until('the call to the engine', () => driver.calls.includes('create'));
    const [row] = await rows();
    expect([row?.is_ready, await e2b.listed(), await events('vm.created')]).to.deep.equal([0, [], []]);
    expect((await e2b.get(`/sandboxes/${row?.sandbox_id}`)).status).to.equal(404);
    app.clock.now += 30_000;
    gate.resolve();
    const { body } = await creating;
    expect(body.sandboxID).to.equal(row?.sandbox_id);
    expect(Date.parse((await e2b.read(body.sandboxID)).endAt)).to.equal(app.clock.now + 60_000);
    expect((await events('vm.created')).map(({ subject }) => subject)).to.deep.equal([body.sandboxID]);
  });

  const answers: [MachineErrorCode, number, string | undefined, string | undefined][] = [
    ['unavailable', 503, '1', 'true'],
    ['full', 503, '1', 'true'],
    ['timeout', 504, undefined, 'false'],
    ['unsupported', 501, undefined, 'false'],
    ['failed', 500, undefined, 'false'],
  ];
  for (const [code, status, retryAfter, shouldRetry] of answers) {
    itHere(`${status}: the engine says ${code}, and nothing stays`, async () => {
      driver.behaviour.create = async () => {
        throw new MachineError(code, 'Words for users');
      };
      for (const path of ['/sandboxes', '/v2/sandboxes', '/v1/vms', '/v1/sessions/session']) {
        const isE2b = path.endsWith('sandboxes');
        const asked = { '/v1/vms': {}, '/v1/sessions/session': { api_key: alice.key } }[path] ?? base;
        const res = await e2b.post(path, asked);
        const expected = isE2b ? { code: status, message: 'Words for users' } : { detail: 'Words for users' };
        expect([res.status, res.body], path).to.deep.equal([status, expected]);
        expect([res.headers['retry-after'], res.headers['should-retry']], path).to.deep.equal([
          retryAfter,
          shouldRetry,
        ]);
      }
      await expectNothing();
    });
  }

  itHere('removes the machine whose agent does not answer, and that of a record that cannot be written', async () => {
    driver.behaviour.channel = async () => {
      throw new MachineError('gone', 'The machine has stopped');
    };
    const { status, body } = await e2b.post('/sandboxes', base);
    expect([status, body.message]).to.deep.equal([500, 'The machine of the sandbox stopped while it started']);
    await expectNothing();
    driver.behaviour = {};
    driver.behaviour.channel = async (id) => {
      await app.server.context.store.db.deleteFrom('users').where('id', '=', alice.id).execute();
      return driver.work.channel(id);
    };
    const left = await vms('post', '/v1/vms', {});
    expect(left.status).to.equal(500);
    await until('the removal', async () => (await rows()).length === 0 && driver.machines.size === 0);
  });

  itHere('makes no machine for a sandbox that is refused', async () => {
    const session = await vms('post', '/v1/sessions/session', { api_key: alice.key });
    const inUse = await vms('post', '/v1/vms', { session_id: session.body.session_id });
    const large = await vms('post', '/v1/vms', { metadata: { a: 'x'.repeat(300_000) } });
    expect([session.status, inUse.status, large.status]).to.deep.equal([200, 403, 422]);
    expect(driver.calls.filter((call) => call === 'create')).to.have.length(1);
  });

  itHere('404: an unknown template, 403 for InstaVM’s client, which shows its user no 404', async () => {
    for (const path of ['/sandboxes', '/v2/sandboxes']) {
      const res = await e2b.post(path, { templateID: 'nothing' });
      expect([res.status, res.body.message], path).to.deep.equal([404, "template 'nothing' not found"]);
    }
    const res = await vms('post', '/v1/vms', { snapshot_id: 'nothing' });
    expect([res.status, res.body]).to.deep.equal([403, { detail: "template 'nothing' not found" }]);
    expect(driver.calls).not.to.include('create');
    await expectNothing();
  });

  itHere('503: an image that the engine has lost', async () => {
    driver.behaviour.create = async () => {
      throw new MachineError('no_image', 'There is no such image');
    };
    const { status, headers } = await e2b.post('/sandboxes', base);
    expect([status, Number(headers['retry-after']) > 0]).to.deep.equal([503, true]);
    await expectNothing();
  });

  itHere('409: a repeated create whose first is under way; then the same sandbox', async () => {
    const gate = Promise.withResolvers<void>();
    driver.behaviour.create = async (spec) => {
      await gate.promise;
      await driver.work.create(spec);
    };
    const send = (body: object, key = 'k') => e2b.post('/sandboxes', body).set('Idempotency-Key', key);
    const first = send(base).then((res) => res);
    await until('the call to the engine', () => driver.calls.includes('create'));
    const second = await send(base);
    expect([second.status, second.body.error_code]).to.deep.equal([409, 'idempotency_in_progress']);
    const other = await send({ ...base, timeout: 77 });
    expect([other.status, other.body.error_code]).to.deep.equal([422, 'idempotency_request_mismatch']);
    const vm = vms('post', '/v1/vms', {}).set('Idempotency-Key', 'k');
    expect((await vm).status).to.equal(409);
    gate.resolve();
    const { body } = await first;
    expect((await send(base)).body.sandboxID).to.equal(body.sandboxID);
    expect(driver.specs.map(({ id }) => id)).to.deep.equal([body.sandboxID]);
    driver.behaviour.create = async () => {
      throw new MachineError('full', 'Full');
    };
    expect((await send(base, 'k2')).status).to.equal(503);
    driver.behaviour = {};
    expect((await send(base, 'k2')).status).to.equal(201);
  });

  itHere('leaves nothing when the client goes away before the sandbox is there', async () => {
    const url = await app.server.start();
    const begun = Promise.withResolvers<void>();
    driver.behaviour.create = async (_spec, signal) => {
      begun.resolve();
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    };
    const leaving = new AbortController();
    const body = JSON.stringify(base);
    const headers = { ...apiKey(alice), 'Content-Type': 'application/json' };
    const answer = fetch(`${url}/sandboxes`, { method: 'POST', body, headers, signal: leaving.signal });
    await begun.promise;
    leaving.abort();
    await answer.catch(() => {});
    await expectNothing();
  });

  itHere('does not wait for an engine that hangs when the server stops, and cleans up at the next start', async () => {
    const url = await app.server.start();
    driver.behaviour = { create: forever, remove: forever, list: forever, close: forever };
    const body = JSON.stringify(base);
    const headers = { ...apiKey(alice), 'Content-Type': 'application/json' };
    const answer = fetch(`${url}/sandboxes`, { method: 'POST', body, headers }).catch(() => null);
    await until('the row', async () => (await rows()).length === 1);
    await app.close();
    await answer;
    driver.behaviour = {};
    driver.machines.set((await import('../../db/sandboxes/insert.ts')).newSandboxId(), 'running');
    const next = await startLifecycle(driver, { db: app.server.context.config.db }).catch((error) => error);
    await until('the clean-up', async () => (await next.rows()).length === 0 && driver.machines.size === 0);
  });
});
