import { createHash, generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import { deleteUser } from '../../db/accounts/users.ts';
import { inTransaction } from '../../db/store.ts';
import { type Instavm, startInstavm } from '../helpers/clients/instavm-client.ts';
import { itHere } from '../helpers/server.ts';

/** Returns an SSH public key, as the line of a `.pub` file, and its fingerprint. */
function newKey(type = 'ssh-ed25519'): { line: string; fingerprint: string } {
  const raw = generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32);
  const parts = [Buffer.from(type), raw].flatMap((part) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    return [length, part];
  });
  const data = Buffer.concat(parts);
  const hash = createHash('sha256').update(data).digest('base64').replace('=', '');
  return { line: `ssh-ed25519 ${data.toString('base64')}`, fingerprint: `SHA256:${hash}` };
}

describe("InstaVM's account", () => {
  let { app, alice, bob, get, post, remove } = {} as Instavm;
  beforeEach(async () => {
    ({ app, alice, bob, get, post, remove } = await startInstavm());
  });

  it('GET /v1/users/me returns the caller; 401 without a credential', async () => {
    expect((await get('/v1/users/me', bob)).body).to.deep.equal({
      id: bob.id,
      name: 'bob',
      email: null,
      is_verified: false,
    });
    for (const path of ['/v1/users/me', '/v1/users/me/usage-breakdown', '/v1/ssh-keys', '/v1/credits/allocation']) {
      expect((await app.http.get(path)).status, path).to.equal(401);
    }
  });

  describe('/v1/ssh-keys', () => {
    const add = (line: string, caller = alice) => post('/v1/ssh-keys', { public_key: line }, caller);

    it('adds, lists and deletes keys, with the fingerprint that OpenSSH shows', async () => {
      const { line, fingerprint } = newKey();
      const added = await add(`${line} alice@laptop (work)\n`);
      expect(added.status).to.equal(201);
      const comment = 'alice@laptop (work)';
      expect(added.body).to.deep.equal({
        id: added.body.id,
        fingerprint,
        comment,
        public_key: `${line} ${comment}`,
        created_at: '2025-01-18T10:30:00.000Z',
      });
      expect(added.body.id).to.be.a('number');
      const second = (await add(newKey().line)).body;
      expect(second.comment).to.equal('');
      expect((await get('/v1/ssh-keys')).body).to.deep.equal({ keys: [added.body, second] });
      expect((await get('/v1/ssh-keys', bob)).body).to.deep.equal({ keys: [] });
      const path = `/v1/ssh-keys/${added.body.id}`;
      expect((await remove(path, bob)).status).to.equal(404);
      const removed = await remove(path);
      expect([removed.status, removed.body]).to.deep.equal([200, added.body]);
      expect((await remove(path)).status).to.equal(404);
      expect((await remove('/v1/ssh-keys/x')).status).to.equal(422);
      expect((await get('/v1/ssh-keys')).body).to.deep.equal({ keys: [second] });
      const kinds = (await get('/v1/audit/events?kind=ssh_key.*')).body.events.map((e: { kind: string }) => e.kind);
      expect(kinds).to.deep.equal(['ssh_key.deleted', 'ssh_key.created', 'ssh_key.created']);
    });

    it('a key that the caller has already keeps its id and gets the new comment', async () => {
      const { line, fingerprint } = newKey();
      const first = (await add(`${line} old`)).body;
      expect((await add(`${line} old`)).body).to.deep.equal(first);
      expect((await add(`${line}  new`)).body).to.include({ id: first.id, comment: 'new' });
      expect((await add(line, bob)).status).to.equal(201);
      expect((await get('/v1/ssh-keys')).body.keys).to.have.length(1);
      const { events } = (await get('/v1/audit/events?kind=ssh_key.updated')).body;
      expect(events).to.have.length(1);
      expect(events[0]).to.deep.include({ subject: fingerprint, details: { comment: 'new' } });
    });

    it('422: what is no public key, without storing it', async () => {
      const { line } = newKey();
      const data = line.split(' ')[1];
      for (const wrong of [
        '',
        'ssh-ed25519',
        `ssh-dss ${data}`,
        `ssh-rsa ${data}`,
        `${line.slice(0, -3)}*==`,
        `ssh-ed25519 ${'A'.repeat(8)}`,
        'ssh-ed25519 AAAA',
        newKey('ssh-rsa').line,
        `${line} a\n${line} b`,
        `-----BEGIN OPENSSH PRIVATE KEY-----\n${data}\n-----END OPENSSH PRIVATE KEY-----`,
        `${line} ${'x'.repeat(16_384)}`,
      ]) {
        expect((await add(wrong)).status, wrong).to.equal(422);
      }
      expect((await get('/v1/ssh-keys')).body).to.deep.equal({ keys: [] });
    });

    it('403: the 101st key, in words; a key that exists can still be added', async () => {
      const first = newKey().line;
      for (let n = 0; n < 100; n++) expect((await add(n === 0 ? first : newKey().line)).status).to.equal(201);
      const refused = await add(newKey().line);
      expect([refused.status, refused.body]).to.deep.equal([
        403,
        { detail: 'There may be 100 SSH keys at most: delete one first with DELETE /v1/ssh-keys/{key_id}' },
      ]);
      expect((await add(first)).status).to.equal(201);
      expect((await add(newKey().line, bob)).status).to.equal(201);
    });

    itHere('keys and sessions are deleted with their user', async () => {
      await add(newKey().line);
      await app.http.post('/v1/sessions/session').send({ api_key: alice.key });
      const { db, sqlite } = app.server.context.store;
      await inTransaction(db, (trx) => deleteUser(trx, 'alice', { withSandboxes: true }));
      for (const table of ['ssh_keys', 'sessions']) {
        expect(sqlite.prepare(`select count(*) from ${table}`).pluck().get(), table).to.equal(0);
      }
    });
  });

  describe('GET /v1/credits', () => {
    const none = { allocated: 0, used: 0, remaining: 0 };
    const body = async (path: string) => (await get(`/v1/credits/${path}`)).body;

    it('shows that nothing is allocated, used or billed', async () => {
      expect(await body('allocation')).to.deep.equal({
        id: 'none',
        allocation_period_start: '2025-01-01T00:00:00.000Z',
        allocation_period_end: '2025-02-01T00:00:00.000Z',
        dollars: none,
        browser_automation: none,
      });
      expect(await body('usage?period=all&limit=5&usage_type=browser_automation')).to.deep.equal([]);
      for (const [query, period] of [
        ['', 'current_month'],
        ['?period=last_30_days', 'last_30_days'],
      ]) {
        expect(await body(`summary${query}`)).to.deep.equal({ period, dollars: none, browser_automation: none });
      }
      expect((await body('rates')).vm_execution).to.include({ cpu_rate_per_second_per_core: 0 });
      expect(await body('usage/forecasting')).to.deep.equal({ projected_cost_dollars: 0, recommendations: [] });
    });

    it('check: there are enough for sandboxes, and never for browsers, with the reason', async () => {
      const browsers = await body('check?usage_type=browser_automation&required_credits=5');
      expect(browsers).to.include({ available: false, required_credits: 5, remaining_credits: 0, shortage: 5 });
      expect(browsers.reason).to.match(/^Sandpit does not offer browsers/);
      const sandboxes = await body('check?usage_type=vm_execution&required_credits=5');
      expect(sandboxes).to.include({ available: true, shortage: 0 });
    });

    it('trends: one entry for each interval, the last of which holds the present', async () => {
      const lengths: Record<string, number> = { hourly: 168, daily: 7, weekly: 1 };
      for (const [granularity, length] of Object.entries(lengths)) {
        const { series } = await body(`usage/trends?period=7d&granularity=${granularity}`);
        expect(series, granularity).to.have.length(length);
      }
      const { series } = await body('usage/trends');
      expect(series).to.have.length(30);
      expect(series.at(-1)).to.deep.equal({ start: '2025-01-18T00:00:00.000Z', cost_dollars: 0, credits_used: 0 });
    });

    it('422: unknown values', async () => {
      for (const wrong of [
        'usage?limit=0',
        'summary?period=today',
        'check?usage_type=browser_automation',
        'usage/trends?period=8d',
      ]) {
        expect((await get(`/v1/credits/${wrong}`)).status, wrong).to.equal(422);
      }
    });
  });
});
