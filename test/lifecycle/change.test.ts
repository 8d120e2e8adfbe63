import { expect } from 'chai';
import { MachineError } from '../../app/machines/error.ts';
import { changeMachine, engineCall } from '../../app/machines/lifecycle/parts.ts';
import { putToRest } from '../../app/machines/lifecycle/rest.ts';
import { Verbs } from '../../app/machines/lifecycle/verbs.ts';
import { itHere } from '../helpers/server.ts';
import { FakeDriver, forever } from './fake-driver.ts';
import { manifest, startLifecycle } from './lifecycle.ts';

describe('the limits of a change of a machine', () => {
  const codeOf = (work: Promise<unknown>) => work.then(() => 'done').catch(({ code }) => code);
  const check = async () => {};

  it('timeout: an engine that hangs', async () => {
    expect(await codeOf(engineCall(forever(), AbortSignal.timeout(1)))).to.equal('timeout');
  });

  it('timeout: a change whose turn does not come, which then does nothing', async () => {
    const verbs = new Verbs();
    const followed: string[] = [];
    const parts = { verbs, follow: (id: string) => void followed.push(id) };
    const before = Promise.withResolvers<void>();
    const first = changeMachine(parts, 'a', check, () => before.promise);
    let hasChanged = false;
    const change = async () => {
      hasChanged = true;
    };
    expect(await codeOf(changeMachine(parts, 'a', check, change, 1))).to.equal('timeout');
    expect(await codeOf(changeMachine(parts, 'b', check, async () => {}, 1000))).to.equal('done');
    before.resolve();
    await first;
    await verbs.run('a', async () => {});
    expect([hasChanged, followed]).to.deep.equal([false, []]);
  });

  it('lets a machine follow its record only after a change that had begun', async () => {
    const followed: string[] = [];
    const parts = { verbs: new Verbs(), follow: (id: string) => void followed.push(id) };
    const fail = () => Promise.reject(new Error('no'));
    await changeMachine(parts, 'refused', fail, check).catch(() => {});
    await changeMachine(parts, 'failed', check, fail).catch(() => {});
    expect(followed).to.deep.equal(['failed']);
  });

  it('keeps a machine busy that stops after its deadline, so that its stop is no death, then lets it follow', async () => {
    const [verbs, driver] = [new Verbs(), new FakeDriver()];
    const followed = Promise.withResolvers<string>();
    const stop = Promise.withResolvers<void>();
    driver.behaviour.stop = () => stop.promise;
    const parts = { verbs, driver, follow: followed.resolve, metrics: null, patienceMilliseconds: 1 };
    const stopping = verbs.run('a', () => putToRest(parts, 'a', 'stopped'));
    expect(await codeOf(stopping)).to.equal('timeout');
    expect(verbs.isBusy('a')).to.equal(true);
    stop.resolve();
    expect(await followed.promise).to.equal('a');
    expect(verbs.isBusy('a')).to.equal(false);
  });
});

const tooSlow = async () => {
  throw new MachineError('timeout', 'Too slow');
};

describe('an engine that takes too long', () => {
  itHere('is 504 in words in every dialect, and no record changes', async () => {
    const { app, driver, e2b, vms } = await startLifecycle();
    const id = await e2b.create();
    const asleep = await e2b.create({ autoResume: { enabled: true } });
    const { envdAccessToken } = await e2b.read(asleep);
    expect(await e2b.does(asleep, 'pause', { memory: true })).to.equal(204);
    const { snapshot_id } = (await vms('post', `/v1/vms/${id}/snapshot`, {})).body;
    expect((await vms('post', '/v1/templates', { manifest, snapshot_id })).status).to.equal(201);
    driver.behaviour = { create: tooSlow, pause: tooSlow, resume: tooSlow, snapshot: tooSlow, fork: tooSlow };
    const before = (await e2b.list()).body;
    for (const [path, body] of [
      [`/sandboxes/${id}/pause`, { memory: true }],
      [`/sandboxes/${asleep}/resume`, {}],
      [`/sandboxes/${asleep}/connect`, { timeout: 60 }],
      [`/v2/sandboxes/${asleep}/connect`, { timeout: 60 }],
      [`/sandboxes/${id}/snapshots`, {}],
      [`/sandboxes/${id}/fork`, {}],
    ] as const) {
      const { status, body: answer } = await e2b.post(path, body);
      expect([status, answer], path).to.deep.equal([504, { code: 504, message: 'Too slow' }]);
    }
    for (const path of [
      `/v1/vms/${id}/suspend`,
      `/v1/vms/${asleep}/resume`,
      `/v1/vms/${id}/clone`,
      `/v1/vms/${id}/snapshot`,
      '/v1/templates/box/runs',
    ]) {
      const { status, body } = await vms('post', path, {});
      expect([status, body], path).to.deep.equal([504, { detail: 'Too slow' }]);
    }
    const woken = await app.http.get('/metrics').set({ 'E2b-Sandbox-Id': asleep, 'X-Access-Token': envdAccessToken });
    expect([woken.status, woken.body.message]).to.deep.equal([504, 'Too slow']);
    expect((await e2b.list()).body).to.deep.equal(before);
  });
});
