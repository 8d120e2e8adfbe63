import { expect } from 'chai';
import fc from 'fast-check';
import { sandboxOfSession, sessionIdOf } from '../../db/sessions/session-id.ts';
import { type Instavm, startInstavm } from '../helpers/clients/instavm-client.ts';
import { apiKey } from '../helpers/server.ts';

const unknownSession = '00000000-0000-8000-8000-000000000000';

describe("InstaVM's sessions", () => {
  let { app, alice, bob, get, post } = {} as Instavm;
  beforeEach(async () => {
    ({ app, alice, bob, get, post } = await startInstavm());
  });

  const start = async (body: object = {}) =>
    (await app.http.post('/v1/sessions/session').send({ api_key: alice.key, ...body })).body.session_id as string;
  const vmOf = async (sessionId: string) => (await get(`/v1/sessions/status/${sessionId}`)).body.vm_id as string;

  it('a session id and a sandbox id convert to each other', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^i[a-z0-9]{20}$/), (id) => {
        const sessionId = sessionIdOf(id) as string;
        expect(sessionId).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
        expect(sandboxOfSession(sessionId)).to.equal(id);
        expect(sandboxOfSession(sessionId.toUpperCase())).to.equal(id);
      }),
    );
    expect(sessionIdOf('vmid-abc-15')).to.equal(null);
    expect(sandboxOfSession('ffffffff-ffff-8fff-8fff-ffffffff0000')).to.equal(null);
    expect(sandboxOfSession('nonsense')).to.equal(null);
  });

  it('POST /v1/sessions/session 200: starts a sandbox with the given settings', async () => {
    const body = { vm_lifetime_seconds: 60, memory_mb: 1024, vcpu_count: 4, metadata: { a: [1] }, env: { S: 'x' } };
    const id = await start(body);
    const { body: session } = await get(`/v1/sessions/session/${id}`);
    expect(session).to.deep.equal({
      session_id: id,
      vm_id: await vmOf(id),
      vm_status: 'active',
      metadata: { a: [1] },
      memory_mb: 1024,
      vcpu_count: 4,
      created_at: '2025-01-18T10:30:00.000Z',
      expires_at: '2025-01-18T10:31:00.000Z',
    });
    expect((await get(`/v1/vms/${session.vm_id}`)).body.session_id).to.equal(id);
  });

  it('POST /v1/sessions/session: the log never contains the key of the body', async () => {
    await start();
    await app.logged(/\/v1\/sessions\/session/);
    expect(app.log()).not.to.contain(alice.key);
  });

  it('POST /v1/sessions/session 401, 413, 415, 422', async () => {
    const send = (body: object) => app.http.post('/v1/sessions/session').send(body);
    const wrong = await send({ api_key: `e2b_${'0'.repeat(40)}` });
    expect(wrong.status).to.equal(401);
    expect(wrong.headers['www-authenticate']).to.equal('Bearer');
    expect((await send({ api_key: alice.key, metadata: { a: 'x'.repeat(2 ** 20) } })).status).to.equal(413);
    expect((await app.http.post('/v1/sessions/session').type('text').send('x')).status).to.equal(415);
    expect((await send({})).body.detail[0]).to.include({ type: 'missing', msg: 'Field required' });
    expect((await send({ api_key: alice.key, vm_lifetime_seconds: 19 })).status).to.equal(422);
    expect((await get('/v1/vms')).body).to.deep.equal([]);
  });

  it('GET /v1/sessions/status: returns the age and the time left', async () => {
    const id = await start({ vm_lifetime_seconds: 60 });
    app.clock.now += 15_500;
    const status = { session_id: id, exists: true, vm_assigned: true, created_at: '2025-01-18T10:30:00.000Z' };
    const vm_id = await vmOf(id);
    expect((await get(`/v1/sessions/status/${id}`)).body).to.deep.equal({
      ...status,
      vm_id,
      vm_status: 'active',
      vm_alive: true,
      uptime_seconds: 15.5,
      expires_in_seconds: 44.5,
    });
    app.clock.now += 44_500;
    expect((await get(`/v1/sessions/status/${id}`)).body).to.deep.equal({
      ...status,
      vm_id,
      vm_status: 'killed',
      vm_alive: false,
      uptime_seconds: null,
      expires_in_seconds: 0,
    });
  });

  it("GET /v1/sessions/status: an unknown session or another owner's does not exist", async () => {
    const id = await start();
    for (const [sessionId, caller] of [
      [unknownSession, alice],
      ['nonsense', alice],
      [id, bob],
    ] as const) {
      const { status, body } = await get(`/v1/sessions/status/${sessionId}`, caller);
      expect(status).to.equal(200);
      expect(body).to.include({ exists: false, vm_assigned: false, vm_status: null, vm_id: null });
    }
  });

  it("404 for another owner's session and an unknown one", async () => {
    const id = await start();
    expect((await get(`/v1/sessions/session/${id}`, bob)).status).to.equal(404);
    expect((await post('/kill', { session_id: id }, bob)).status).to.equal(404);
    for (const sessionId of [unknownSession, 'nonsense']) {
      expect((await get(`/v1/sessions/session/${sessionId}`)).status).to.equal(404);
      expect((await app.http.get(`/v1/sessions/usage/${sessionId}`)).status).to.equal(404);
    }
    expect((await post('/kill', { session_id: unknownSession })).status).to.equal(404);
    expect((await get(`/v1/sessions/status/${id}`)).body.vm_alive).to.equal(true);
  });

  it('GET /v1/sessions/usage counts the current run up to its end', async () => {
    const id = await start({ vm_lifetime_seconds: 60 });
    const usage = async () => (await app.http.get(`/v1/sessions/usage/${id}`)).body;
    app.clock.now += 10_000;
    expect(await usage()).to.include({ run_seconds: 10, vm_status: 'active', memory_mb: 512 });
    app.clock.now += 100_000;
    expect(await usage()).to.include({ run_seconds: 60, vm_status: 'killed' });
  });

  it('POST /kill 200 once, then 404; 400, 413, 415, 422 for an invalid session', async () => {
    const id = await start();
    const killed = await post('/kill', { session_id: id });
    expect(killed.body).to.deep.equal({ message: 'Sandbox killed', vm_id: await vmOf(id) });
    expect((await post('/kill', { session_id: id })).status).to.equal(404);
    expect((await post('/kill', { session_id: 'nonsense' })).status).to.equal(400);
    expect((await post('/kill', { session_id: 'x'.repeat(2 ** 20) })).status).to.equal(413);
    expect((await app.http.post('/kill').set(apiKey(alice)).type('text').send('x')).status).to.equal(415);
    expect((await post('/kill', {})).status).to.equal(422);
  });
});
