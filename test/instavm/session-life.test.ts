import { expect } from 'chai';
import { prune, sweep } from '../../app/jobs/tasks.ts';
import { type Instavm, startInstavm } from '../helpers/clients/instavm-client.ts';
import { itHere } from '../helpers/server.ts';

/** POST /v1/vms with `session_id`: a session outlives its sandbox. */
describe("the life of InstaVM's sessions", () => {
  let { app, alice, bob, get, post, remove } = {} as Instavm;
  beforeEach(async () => {
    ({ app, alice, bob, get, post, remove } = await startInstavm());
  });

  const start = async (body: object = {}) =>
    (await app.http.post('/v1/sessions/session').send({ api_key: alice.key, ...body })).body.session_id as string;
  const statusOf = async (sessionId: string) => (await get(`/v1/sessions/status/${sessionId}`)).body;
  const refusal = async (sessionId: string, caller = alice) => {
    const { status, body } = await post('/v1/vms', { session_id: sessionId }, caller);
    expect(status).to.equal(403);
    return body.detail as string;
  };

  it('session_id starts the next sandbox of a session whose sandbox has ended', async () => {
    const session = await start({ vm_lifetime_seconds: 20 });
    const { vm_id: first } = await statusOf(session);
    app.clock.now += 20_000;
    expect(await statusOf(session)).to.include({ exists: true, vm_assigned: true, vm_alive: false, vm_id: first });
    const made = await post('/v1/vms', { session_id: session.toUpperCase(), metadata: { run: 2 }, memory_mb: 1024 });
    expect([made.status, made.body.session_id]).to.deep.equal([201, session]);
    const { vm_id: second } = made.body;
    expect(second).not.to.equal(first);
    expect((await get(`/v1/vms/${second}`)).body.session_id).to.equal(session);
    expect((await get(`/v1/vms/${first}`)).body).to.include({ session_id: session, status: 'killed' });
    expect((await get(`/v1/sessions/session/${session}`)).body).to.deep.include({
      vm_id: second,
      vm_status: 'active',
      metadata: { run: 2 },
      memory_mb: 1024,
      created_at: '2025-01-18T10:30:00.000Z',
    });
    app.clock.now += 5000;
    expect(await statusOf(session)).to.include({ vm_id: second, vm_alive: true, uptime_seconds: 5 });
    expect((await get(`/v1/sessions/usage/${session}`)).body).to.include({ run_seconds: 5, memory_mb: 1024 });
    const { events } = (await get(`/v1/audit/events?sandbox_id=${second}`)).body;
    expect(events[0].details).to.include({ session_id: session });
    expect((await post('/kill', { session_id: session })).body.vm_id).to.equal(second);
    expect(await statusOf(session)).to.include({ exists: true, vm_alive: false, vm_status: 'killed' });
  });

  it('so does the session of a sandbox that was started by POST /v1/vms', async () => {
    const { vm_id, session_id } = (await post('/v1/vms')).body;
    await remove(`/v1/vms/${vm_id}`);
    const third = [];
    for (let n = 0; n < 2; n++) {
      const { body } = await post('/v1/vms', { session_id });
      expect(body.session_id).to.equal(session_id);
      await remove(`/v1/vms/${body.vm_id}`);
      third.push(body.vm_id);
    }
    expect((await statusOf(session_id)).vm_id).to.equal(third[1]);
    expect((await get(`/v1/vms/${third[0]}`)).body.session_id).to.equal(session_id);
  });

  it('403: session_id of a sandbox that has not ended, in words that name it', async () => {
    const session = await start();
    const { vm_id: id } = await statusOf(session);
    const words = `The session ${session} has the sandbox ${id}, which has not ended: use it, or kill it first with DELETE /v1/vms/${id}`;
    expect(await refusal(session)).to.equal(words);
    await post(`/v1/vms/${id}/suspend`);
    expect(await refusal(session)).to.equal(words);
    expect((await get('/v1/vms/')).body).to.have.length(1);
  });

  it("403: session_id of another owner's session, an unknown one, and a text that is none", async () => {
    const session = await start();
    await post('/kill', { session_id: session });
    for (const [id, caller] of [
      [session, bob],
      ['00000000-0000-8000-8000-000000000000', alice],
      ['nonsense', alice],
    ] as const) {
      expect(await refusal(id, caller)).to.equal(`There is no session ${id}: leave session_id out to start a new one`);
    }
  });

  it('of two requests for the same session at once, one starts a sandbox', async () => {
    const session = await start();
    await post('/kill', { session_id: session });
    const statuses = await Promise.all(
      [1, 2, 3].map(async () => (await post('/v1/vms', { session_id: session })).status),
    );
    expect(statuses.sort()).to.deep.equal([201, 403, 403]);
  });

  it('a clone of a sandbox has a session of its own', async () => {
    const session = await start();
    await post('/kill', { session_id: session });
    const { vm_id } = (await post('/v1/vms', { session_id: session })).body;
    const clone = (await post(`/v1/vms/${vm_id}/clone`)).body;
    expect(clone.session_id).not.to.equal(session);
    expect((await statusOf(clone.session_id)).vm_id).to.equal(clone.vm_id);
  });

  itHere('a session is deleted with the record of its last sandbox', async () => {
    const hour = 3_600_000;
    const { context } = app.server;
    const session = await start();
    const { vm_id: first } = await statusOf(session);
    await post('/kill', { session_id: session });
    app.clock.now += hour;
    const { vm_id: second } = (await post('/v1/vms', { session_id: session })).body;
    await post('/kill', { session_id: session });
    const sweepAfter = async (milliseconds: number) => {
      app.clock.now += milliseconds;
      await sweep(context);
      await prune({ ...context, config: { ...context.config, retention: hour } });
    };
    await sweepAfter(hour / 2);
    expect((await get(`/v1/vms/${first}`)).status).to.equal(404);
    expect(await statusOf(session)).to.include({ exists: true, vm_id: second });
    await sweepAfter(hour);
    expect(await statusOf(session)).to.include({ exists: false });
    expect(context.store.sqlite.prepare('select count(*) from sessions').pluck().get()).to.equal(0);
  });
});
