import { expect } from 'chai';
import { MachineError } from '../../app/machines/error.ts';
import { itHere } from '../helpers/server.ts';
import { manifest, startLifecycle } from './lifecycle.ts';

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
