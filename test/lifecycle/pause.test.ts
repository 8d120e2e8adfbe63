import { expect } from 'chai';
import { MachineError } from '../../app/machines/error.ts';
import { apiKey, itHere } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';
import { forever } from './fake-driver.ts';
import { type Lifecycle, startLifecycle } from './lifecycle.ts';

const failing = (code: 'unavailable' | 'failed' | 'gone') => async () => {
  throw new MachineError(code, 'Words for users');
};

describe('pausing and resuming machines', () => {
  let { app, driver, e2b, events, vms } = {} as Lifecycle;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    ({ app, driver, e2b, events, vms } = await startLifecycle());
  });

  const health = async (id: string, headers = {}) =>
    (await app.http.get('/health').set({ 'E2b-Sandbox-Id': id, ...headers })).status;
  const state = async (id: string) => (await e2b.read(id)).state;
  const token = async (id: string) => ({ 'X-Access-Token': (await e2b.read(id)).envdAccessToken });
  const stored = async (id: string) =>
    (
      await app.server.context.store.db
        .selectFrom('machines')
        .select('state')
        .where('sandbox_id', '=', id)
        .executeTakeFirst()
    )?.state;

  itHere('change the machine before the record, in every dialect, and the second of two requests is 409', async () => {
    const id = await e2b.create();
    const pauses: [string, () => PromiseLike<{ status: number }>, number][] = [
      ['E2B', () => e2b.post(`/sandboxes/${id}/pause`, { memory: true }), 204],
      ['InstaVM', () => vms('post', `/v1/vms/${id}/suspend`), 200],
    ];
    const resumes: [string, () => PromiseLike<{ status: number }>, number][] = [
      ['connect', () => e2b.post(`/sandboxes/${id}/connect`, { timeout: 60 }), 201],
      ['resume', () => vms('post', `/v1/vms/${id}/resume`, {}), 200],
    ];
    for (const [[, pause, paused], [way, resume, resumed]] of [
      [pauses[0], resumes[0]],
      [pauses[1], resumes[1]],
    ] as [(typeof pauses)[0], (typeof resumes)[0]][]) {
      const two = await Promise.all([pause(), pause()]);
      expect(two.map(({ status }) => status).toSorted(), way).to.deep.equal([paused, 409]);
      expect([driver.machines.get(id), await stored(id), await state(id)], way).to.deep.equal([
        'paused',
        'paused',
        'paused',
      ]);
      const both = await Promise.all([resume(), resume()]);
      // A second connect finds the sandbox running.
      const second = way === 'connect' ? 200 : 409;
      expect(both.map(({ status }) => status).toSorted(), way).to.deep.equal([resumed, second].toSorted());
      expect([driver.machines.get(id), await stored(id), await state(id)], way).to.deep.equal([
        'running',
        'running',
        'running',
      ]);
    }
    expect(driver.calls.filter((call) => call === 'pause' || call === 'resume')).to.deep.equal([
      'pause',
      'resume',
      'pause',
      'resume',
    ]);
  });

  itHere('404 and 409 as with records only, without a call of the engine', async () => {
    const id = await e2b.create();
    const unknown = `i${'0'.repeat(20)}`;
    const answers = [
      await e2b.post(`/sandboxes/${unknown}/pause`),
      await e2b.post(`/sandboxes/${id}/resume`),
      await vms('post', `/v1/vms/${unknown}/suspend`),
      await vms('post', `/v1/vms/${id}/resume`, {}),
    ];
    expect(answers.map(({ status }) => status)).to.deep.equal([404, 409, 404, 409]);
    expect(answers[1]?.body.message).to.equal(`Sandbox '${id}' is already running`);
    expect(driver.calls).not.to.include.members(['pause']).and.not.to.include.members(['resume']);
  });

  itHere(
    'an engine that fails or hangs: the record stays, the words are the engine’s, and the machine runs',
    async () => {
      const id = await e2b.create();
      for (const [code, status] of [
        ['unavailable', 503],
        ['failed', 500],
        ['gone', 500],
      ] as const) {
        driver.behaviour.pause = failing(code);
        const res = await e2b.post(`/sandboxes/${id}/pause`, { memory: true });
        const message = code === 'gone' ? 'The machine of the sandbox has stopped' : 'Words for users';
        expect([res.status, res.body], code).to.deep.equal([status, { code: status, message }]);
        const vm = await vms('post', `/v1/vms/${id}/suspend`);
        expect([vm.status, vm.body], code).to.deep.equal([status, { detail: message }]);
        expect([await state(id), await stored(id)]).to.deep.equal(['running', 'running']);
      }
      // The engine has paused it although it said otherwise: the machine follows its record.
      driver.behaviour.pause = async (paused) => {
        await driver.work.pause(paused);
        throw new MachineError('timeout', 'Too slow');
      };
      expect(await e2b.does(id, 'pause', { memory: true })).to.equal(504);
      await until('the machine to run', () => driver.machines.get(id) === 'running');
      driver.behaviour.pause = driver.work.pause;
      expect(await e2b.does(id, 'pause', { memory: true })).to.equal(204);
      driver.behaviour.resume = failing('unavailable');
      expect(await e2b.does(id, 'connect', { timeout: 9 })).to.equal(503);
      expect([await state(id), await stored(id)]).to.deep.equal(['paused', 'paused']);
      expect(await events('vm.resumed')).to.deep.equal([]);
    },
  );

  itHere('one that hangs holds up neither a kill nor other sandboxes', async () => {
    const [hung, other] = [await e2b.create(), await e2b.create()];
    driver.behaviour.pause = async (id) => (id === hung ? forever() : driver.work.pause(id));
    const pausing = e2b.post(`/sandboxes/${hung}/pause`, { memory: true }).then((res) => res);
    await until('the call', () => driver.calls.includes('pause'));
    expect(await e2b.does(other, 'pause', { memory: true })).to.equal(204);
    expect((await e2b.remove(`/sandboxes/${hung}`)).status).to.equal(204);
    await until('the removal', () => !driver.machines.has(hung));
    pausing.catch(() => {});
  });

  itHere('files only: synced and stopped, then started again with an agent', async () => {
    const id = await e2b.create();
    await app.server.context.machines?.agentOf(id);
    expect(await e2b.does(id, 'pause', { memory: false })).to.equal(204);
    expect([driver.machines.get(id), await stored(id)]).to.deep.equal(['stopped', 'stopped']);
    expect((await e2b.read(id)).pauseMode).to.equal('filesystem');
    const before = driver.calls.filter((call) => call === 'channel').length;
    expect(await e2b.does(id, 'connect', { timeout: 60 })).to.equal(201);
    expect(driver.calls.filter((call) => call === 'channel').length).to.equal(before + 1);
    expect([driver.machines.get(id), await stored(id), await health(id)]).to.deep.equal(['running', 'running', 204]);
  });

  itHere('at the end of its lifetime: the record at once, the machine soon, tried until it succeeds', async () => {
    const { body: vm } = await vms('post', '/v1/vms', { auto_suspend: true, vm_lifetime_seconds: 60 });
    const id = await e2b.create({ autoPause: true, timeout: 60 });
    const files = await e2b.create({ autoPause: true, autoPauseMemory: false, timeout: 60 });
    let failures = 2;
    driver.behaviour.pause = async (paused) => {
      if (failures-- > 0) throw new MachineError('unavailable', 'away');
      await driver.work.pause(paused);
    };
    app.clock.now += 60_000;
    expect([await state(id), await health(id)]).to.deep.equal(['paused', 502]);
    await until('the pauses', () => [vm.vm_id, id].every((each) => driver.machines.get(each) === 'paused'));
    await until('the stop', () => driver.machines.get(files) === 'stopped');
    await until('the states', async () => (await stored(id)) === 'paused' && (await stored(files)) === 'stopped');
  });

  itHere('its memory is kept for a day, then it is stopped', async () => {
    const id = await e2b.create();
    expect(await e2b.does(id, 'pause', { memory: true })).to.equal(204);
    app.clock.now += 86_399_000;
    const looks = driver.calls.length;
    await e2b.create();
    expect([driver.machines.get(id), driver.calls.slice(looks).includes('stop')]).to.deep.equal(['paused', false]);
    app.clock.now += 1_000;
    await until('the stop', async () => (await stored(id)) === 'stopped');
    expect(await e2b.does(id, 'connect', { timeout: 60 })).to.equal(201);
    expect(driver.machines.get(id)).to.equal('running');
  });

  itHere('a kill removes a paused one; one that dies while it is paused stays paused', async () => {
    const [killed, died] = [await e2b.create(), await e2b.create()];
    for (const id of [killed, died]) expect(await e2b.does(id, 'pause', { memory: true })).to.equal(204);
    expect((await e2b.remove(`/sandboxes/${killed}`)).status).to.equal(204);
    await until('the removal', () => !driver.machines.has(killed));
    driver.die(died);
    await until('the state', async () => (await stored(died)) === 'stopped');
    expect(await state(died)).to.equal('paused');
    expect(await e2b.does(died, 'connect', { timeout: 60 })).to.equal(201);
  });

  itHere('autoResume: requests with the token share one resume, others get 502; a failure is in words', async () => {
    const create = { autoPause: true, autoResume: { enabled: true }, timeout: 600 };
    const [id, asleep] = [await e2b.create(create), await e2b.create({ autoPause: true, timeout: 600 })];
    app.clock.now += 600_000;
    await until('the pauses', () => [id, asleep].every((each) => driver.machines.get(each) === 'paused'));
    const access = await token(id);
    expect([await health(id), await health(id, { 'X-Access-Token': 'x' })]).to.deep.equal([502, 502]);
    expect(await health(asleep, await token(asleep))).to.equal(502);
    expect(await state(id)).to.equal('paused');
    driver.behaviour.resume = failing('unavailable');
    const failed = await app.http.get('/metrics').set({ 'E2b-Sandbox-Id': id, ...access });
    expect([failed.status, failed.body.message]).to.deep.equal([503, 'Words for users']);
    expect([await state(id), driver.machines.get(id)]).to.deep.equal(['paused', 'paused']);
    driver.behaviour.resume = driver.work.resume;
    driver.calls.splice(0);
    expect(await Promise.all([health(id, access), health(id, access), health(id, access)])).to.deep.equal([
      204, 204, 204,
    ]);
    expect(driver.calls.filter((call) => call === 'resume')).to.have.length(1);
    expect(Date.parse((await e2b.read(id)).endAt)).to.equal(app.clock.now + 600_000);
  });

  itHere('what a crash has left half done follows the record after the next start', async () => {
    const names = ['frozen', 'resumed', 'stopped', 'halted', 'dead', 'lost'] as const;
    const ids = {} as Record<(typeof names)[number], string>;
    for (const name of names) ids[name] = await e2b.create();
    for (const name of ['resumed', 'stopped', 'lost'] as const) {
      expect(await e2b.does(ids[name], 'pause', { memory: true })).to.equal(204);
    }
    const { db } = app.server.context.config;
    driver.behaviour.stop = async (id) => {
      await driver.work.stop(id);
      return forever();
    };
    e2b.does(ids.halted, 'pause', { memory: false }).catch(() => {});
    await until('the stop', () => driver.machines.get(ids.halted) === 'stopped');
    await app.close();
    // Killed between the engine and the record: of a pause, of a resume; and a host that restarted.
    driver.machines.set(ids.frozen, 'paused').set(ids.resumed, 'running').set(ids.stopped, 'stopped');
    driver.machines.set(ids.dead, 'stopped').delete(ids.lost);
    const two = await startLifecycle(driver, { db });
    const status = async () => {
      const rows = await two.app.server.context.store.db.selectFrom('sandboxes').select(['id', 'status']).execute();
      return Object.fromEntries(rows.map((row) => [names.find((name) => ids[name] === row.id), row.status]));
    };
    await until('the ends', async () => (await status()).dead === 'killed' && (await status()).lost === 'killed');
    await until(
      'the machines',
      () =>
        [ids.frozen, ids.halted].every((id) => driver.machines.get(id) === 'running') &&
        driver.machines.get(ids.resumed) === 'paused',
    );
    expect(await status()).to.deep.equal({
      frozen: 'active',
      resumed: 'paused',
      stopped: 'paused',
      halted: 'active',
      dead: 'killed',
      lost: 'killed',
    });
    expect(driver.machines.get(ids.stopped)).to.equal('stopped');
  });

  itHere('501: a sandbox that was paused by a server with records only', async () => {
    const user = await app.addUser('paul');
    const id = await app.insert(user, { status: 'paused' });
    const res = await app.http.post(`/sandboxes/${id}/connect`).set(apiKey(user)).send({ timeout: 60 });
    expect([res.status, res.body.message]).to.deep.equal([
      501,
      'The sandbox was paused by a server without machines, so it has none to resume: create a new one',
    ]);
  });
});
