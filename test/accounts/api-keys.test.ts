import { expect } from 'chai';
import { createApiKey, type KeyLimits } from '../../db/accounts/api-keys.ts';
import { inTransaction } from '../../db/store.ts';
import { operations } from '../helpers/contract.ts';
import { actor, apiKey, type Caller, shareApp, startTime, type TestApp } from '../helpers/server.ts';

const day = 86_400_000;
const isoOf = (time: number) => new Date(time).toISOString();

describe('API key limits', () => {
  const shared = shareApp();
  let app: TestApp;
  let alice: Caller;
  let users = 0;
  beforeEach(async () => {
    app = shared();
    alice = await app.addUser(`alice-${users++}`);
  });

  const make = (body: object, caller: Pick<Caller, 'key'> = alice) =>
    app.http.post('/v1/api-keys/').set('X-API-Key', caller.key).send(body);
  const statusWith = async (key: string) => (await app.http.get('/v1/vms').set('X-API-Key', key)).status;
  const limited = async (limits: Partial<KeyLimits>): Promise<Caller> => {
    const { db } = app.server.context.store;
    const key = await inTransaction(db, (trx) => createApiKey(trx, app.clock.now, actor(alice), 'limited', limits));
    return { ...alice, key };
  };
  const lastDetails = async () => {
    const events = await app.http.get('/v1/audit/events?kind=api_key.created&limit=1').set(apiKey(alice));
    return events.body.events[0].details;
  };

  it('expires at `expires_at` to the millisecond, whatever the time zone', async () => {
    const made = await make({ description: 'a day', expires_at: '2025-01-19T12:30:00.000+02:00' });
    expect(made.status).to.equal(201);
    const { api_key: key, ...shown } = made.body;
    const expected = { description: 'a day', expires_at: isoOf(startTime + day), permissions: ['read', 'write'] };
    expect(shown).to.deep.include(expected);
    const listed = await app.http.get('/v1/api-keys/').set(apiKey(alice));
    expect(listed.body.find(({ id }: { id: number }) => id === shown.id)).to.deep.equal(shown);
    app.clock.now += day - 1;
    expect(await statusWith(key)).to.equal(200);
    app.clock.now += 1;
    expect(await statusWith(key)).to.equal(401);
    const bearer = await app.http.get('/v1/vms').set('Authorization', `Bearer ${key}`);
    expect(bearer.status).to.equal(401);
    expect((await app.http.post('/v1/sessions/session').send({ api_key: key })).status).to.equal(401);
  });

  it('never expires and has all permissions when no limits (or null) are given', async () => {
    for (const body of [{}, { expires_at: null, permissions: null, description: null }]) {
      const { api_key: key, ...shown } = (await make(body)).body;
      expect(shown).to.include({ expires_at: null, description: 'unnamed' });
      app.clock.now += 100 * 365 * day;
      expect((await app.http.post('/v1/vms').set('X-API-Key', key)).status).to.equal(201);
    }
  });

  it('refuses an expiry in the past and unknown permissions', async () => {
    const wrong: [object, string][] = [
      [{ expires_at: isoOf(startTime) }, 'expires_at'],
      [{ expires_at: '2025-01-01T00:00:00Z' }, 'expires_at'],
      [{ expires_at: 'tomorrow' }, 'expires_at'],
      [{ expires_at: 5 }, 'expires_at'],
      [{ permissions: 'read' }, 'permissions'],
      [{ permissions: [] }, 'permissions'],
      [{ permissions: ['admin'] }, 'permissions'],
      [{ permissions: ['read', 'read'] }, 'permissions'],
    ];
    for (const [body, name] of wrong) {
      const response = await make(body);
      expect(response.status, JSON.stringify(body)).to.equal(422);
      expect(response.body.detail[0].loc.slice(0, 2)).to.deep.equal(['body', name]);
    }
  });

  it('cannot create a key that outlives it; by default both expire together', async () => {
    const end = startTime + day;
    const short = await limited({ expiresAt: end });
    expect((await make({}, short)).body.expires_at).to.equal(isoOf(end));
    expect((await make({ expires_at: isoOf(end - 1) }, short)).body.expires_at).to.equal(isoOf(end - 1));
    const refused = await make({ expires_at: isoOf(end + 1) }, short);
    expect(refused.status).to.equal(403);
    expect(refused.body.detail).to.equal(
      `This API key expires at ${isoOf(end)}: a key that it creates can't be valid longer`,
    );
  });

  it('can be read-only; `write` includes `read`', async () => {
    expect((await make({ permissions: ['write'] })).body.permissions).to.deep.equal(['read', 'write']);
    expect(await lastDetails()).to.deep.include({ permissions: ['read', 'write'], expires_at: null });
    const { api_key: key, permissions } = (await make({ permissions: ['read'] })).body;
    expect(permissions).to.deep.equal(['read']);
    expect(await lastDetails()).to.deep.include({ permissions: ['read'] });
    expect(await statusWith(key)).to.equal(200);
    expect((await make({}, { key })).status).to.equal(403);
    expect((await app.http.post('/v1/sessions/session').send({ api_key: key })).body).to.deep.equal({
      detail: "This API key may only read: use one with the permission 'write'",
    });
  });

  it('a read-only key may do a dry run of a kill, but not a kill', async () => {
    const { key } = await limited({ isReadOnly: true });
    const id = await app.insert(alice);
    const kill = (dryRun: boolean) =>
      app.http.post('/v1/sandboxes/kill').set('X-API-Key', key).send({ all: true, dry_run: dryRun });
    expect((await kill(true)).body.ids).to.deep.equal([id]);
    expect((await kill(false)).status).to.equal(403);
    const read = await app.http.get(`/v1/vms/${id}`).set('X-API-Key', key);
    expect(read.body.status).to.equal('active');
  });

  it('a read-only key is refused by every operation that writes, in its dialect, and by no other', async () => {
    const { key } = await limited({ isReadOnly: true });
    const bodies: Record<string, object> = { create_session: { api_key: key }, kill_sandboxes: { all: true } };
    const secured = operations.filter(
      ({ path, operation }) => operation.security?.length !== 0 || path === '/v1/sessions/session',
    );
    for (const { method, path, operation } of secured) {
      // A file's address is one to upload to, and needs machines: test/builds/ asks for it.
      if (path === '/v1/events' || operation.operationId === 'e2b_get_build_file') continue;
      // Their 403 also says what InstaVM's client hides of a 404.
      if (method === 'get' && operation.tags.includes('machine')) continue;
      const url = path.replace(/\{[^}]*\}/g, 'i1');
      const sent = app.http[method as 'post'](url).set('X-API-Key', key);
      const response = await (method === 'get' ? sent : sent.send(bodies[operation.operationId] ?? {}));
      const isRefused = response.status === 403;
      expect(isRefused, operation.operationId).to.equal(method !== 'get');
      expect('403' in operation.responses, operation.operationId).to.equal(method !== 'get');
      if (!isRefused) continue;
      const words = "This API key may only read: use one with the permission 'write'";
      const isE2b = operation.tags.some((tag) => tag.startsWith('e2b-'));
      expect(response.body).to.deep.equal(isE2b ? { code: 403, message: words } : { detail: words });
    }
  });

  it('409: the 1,001st valid key of a user; a revoked or expired one makes room', async () => {
    const { db } = app.server.context.store;
    await inTransaction(db, async (trx) => {
      const create = (limits = {}) => createApiKey(trx, app.clock.now, actor(alice), 'many', limits);
      await create({ expiresAt: startTime + day });
      for (let n = 2; n < 1000; n++) await create();
    });
    const refused = await make({});
    expect([refused.status, refused.body]).to.deep.equal([
      409,
      { detail: 'There may be 1000 API keys at most: revoke one first' },
    ]);
    const ids = async () => {
      const { body } = await app.http.get('/v1/api-keys/').set(apiKey(alice));
      return body.map(({ id }: { id: number }) => id) as number[];
    };
    const [own, expiring, third] = await ids();
    await app.http.delete(`/v1/api-keys/${third}`).set(apiKey(alice));
    expect((await make({})).status).to.equal(201);
    expect(await ids())
      .to.have.length(1000)
      .and.include.members([own, expiring])
      .and.not.include(third);
    expect((await make({})).status).to.equal(409);
    app.clock.now += day;
    expect((await make({})).status).to.equal(201);
    expect(await ids()).not.to.include(expiring);
    expect((await make({}, await app.addUser('other'))).status).to.equal(201);
  });
});
