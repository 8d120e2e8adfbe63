import { expect } from 'chai';
import { sweep } from '../../app/jobs/tasks.ts';
import { listApiKeys, revokeApiKey } from '../../db/accounts/api-keys.ts';
import { deleteUser, newPasswordHash, setPassword } from '../../db/accounts/users.ts';
import { cli } from '../../db/events/record.ts';
import { inTransaction } from '../../db/store.ts';
import { operations } from '../helpers/contract.ts';
import { apiKey, itHere, startApp, type TestApp } from '../helpers/server.ts';

const path = '/v1/sessions/sandboxes';
const password = 'correct horse';

describe('authentication', () => {
  let app: TestApp;
  beforeEach(async () => {
    app = await startApp();
  });

  const login = (username: string, secret: string) =>
    app.http.post('/v1/auth/token').type('form').send({ grant_type: 'password', username, password: secret });
  const statusWith = async (headers: Record<string, string>) => (await app.http.get(path).set(headers)).status;

  describe('a credential', () => {
    it('may be an API key in X-API-Key, an API key as bearer or an access token as bearer', async () => {
      const alice = await app.addUser('alice', password);
      const { access_token } = (await login('alice', password)).body;
      expect(await statusWith(apiKey(alice))).to.equal(200);
      expect(await statusWith({ Authorization: `Bearer ${alice.key}` })).to.equal(200);
      expect(await statusWith({ Authorization: `bearer ${access_token}` })).to.equal(200);
    });

    it('one valid credential of two is enough', async () => {
      const alice = await app.addUser('alice');
      expect(await statusWith({ ...apiKey(alice), Authorization: 'Bearer nonsense' })).to.equal(200);
      expect(await statusWith({ Authorization: `Bearer ${alice.key}`, 'X-API-Key': 'nonsense' })).to.equal(200);
      expect(await statusWith({ Authorization: 'Bearer nonsense', 'X-API-Key': 'nonsense' })).to.equal(401);
    });

    it('is refused when unknown or malformed', async () => {
      const { key } = await app.addUser('alice');
      const other = `e2b_${'0'.repeat(40)}`;
      const sameBeginning = `${key.slice(0, 20)}${'0'.repeat(24)}`;
      for (const wrong of [
        other,
        sameBeginning,
        key.slice(0, -1),
        `${key}0`,
        key.toUpperCase(),
        'x',
        `spt_${'0'.repeat(64)}`,
      ]) {
        for (const headers of [{ 'X-API-Key': wrong }, { Authorization: `Bearer ${wrong}` }]) {
          const response = await app.http.get(path).set(headers as Record<string, string>);
          expect(response.status, wrong).to.equal(401);
          expect(response.body).to.deep.equal({ detail: 'Could not validate credentials' });
          expect(response.headers['www-authenticate']).to.equal('Bearer');
        }
      }
    });

    it('may follow several spaces, is unknown with trailing text; of several keys the first counts', async () => {
      const { key } = await app.addUser('alice');
      expect(await statusWith({ Authorization: `bearer   ${key}` })).to.equal(200);
      const response = await app.http.get(path).set('Authorization', `Bearer ${key} x`);
      expect([response.status, response.body.detail]).to.deep.equal([401, 'Could not validate credentials']);
      const withKeys = (...keys: string[]) => app.http.get(path).set('X-API-Key', keys as never);
      expect((await withKeys(key, 'nonsense')).status).to.equal(200);
      expect((await withKeys('nonsense', key)).status).to.equal(401);
    });

    it('counts as missing when the header holds no credential', async () => {
      const { key } = await app.addUser('alice');
      const none = [
        {},
        { 'X-API-Key': '' },
        { Authorization: 'Basic eA==' },
        { Authorization: 'Bearer' },
        { Authorization: key },
      ];
      for (const headers of none) {
        const response = await app.http.get(path).set(headers as Record<string, string>);
        expect(response.status).to.equal(401);
        expect(response.body).to.deep.equal({ detail: 'Not authenticated' });
      }
    });

    it('is never read from the query or the body', async () => {
      const { key } = await app.addUser('alice');
      expect((await app.http.get(path).query({ access_token: key })).status).to.equal(401);
      expect((await app.http.post('/v1/vms').send({ access_token: key })).status).to.equal(401);
    });

    it('is required by exactly the operations that declare security in the contract', async () => {
      for (const { method, path: template, operation } of operations) {
        const isOpen =
          Array.isArray((operation as { security?: unknown[] }).security?.valueOf()) &&
          (operation as { security?: unknown[] }).security?.length === 0;
        const url = template.replace(/\{[^}]*\}/g, 'i1');
        const response = await app.http[method as 'get'](url);
        expect(response.status === 401, `${method} ${url}`).to.equal(!isOpen);
      }
    });
  });

  describe('revocation and expiry', () => {
    it('take effect at the next request', async () => {
      const alice = await app.addUser('alice', password);
      const { access_token } = (await login('alice', password)).body;
      const bearer = { Authorization: `Bearer ${access_token}` };
      expect([await statusWith(apiKey(alice)), await statusWith(bearer)]).to.deep.equal([200, 200]);
      await inTransaction(app.server.context.store.db, (trx) => revokeApiKey(trx, app.clock.now, cli, alice.key));
      app.clock.now += 3600_000 - 1;
      expect([await statusWith(apiKey(alice)), await statusWith(bearer)]).to.deep.equal([401, 200]);
      app.clock.now += 1;
      expect(await statusWith(bearer)).to.equal(401);
    });

    it('a new password revokes access tokens; deleting the user revokes all credentials', async () => {
      const alice = await app.addUser('alice', password);
      const { access_token } = (await login('alice', password)).body;
      const { db } = app.server.context.store;
      const hash = await newPasswordHash('another one');
      await inTransaction(db, (trx) => setPassword(trx, app.clock.now, cli, alice, hash));
      expect(await statusWith({ Authorization: `Bearer ${access_token}` })).to.equal(401);
      expect((await login('alice', password)).status).to.equal(401);
      expect((await login('alice', 'another one')).status).to.equal(200);
      await inTransaction(db, (trx) => deleteUser(trx, 'alice', { withSandboxes: false }));
      expect(await statusWith(apiKey(alice))).to.equal(401);
    });
  });

  describe('what is stored of a secret', () => {
    it('only a hash: neither the database nor the log contains a key, a token or a password', async () => {
      const alice = await app.addUser('alice', password);
      const { access_token } = (await login('alice', password)).body;
      await statusWith({ ...apiKey(alice), Authorization: `Bearer ${access_token}` });
      await login('alice', 'a wrong secret');
      const { sqlite } = app.server.context.store;
      const everything = sqlite.serialize().toString('latin1') + app.log();
      for (const secret of [alice.key, access_token, password, 'a wrong secret'])
        expect(everything).not.to.contain(secret);
    });

    itHere('when a key was last used, written by the sweeper, not by the request', async () => {
      const alice = await app.addUser('alice');
      const { context } = app.server;
      app.clock.now += 5000;
      await statusWith(apiKey(alice));
      expect((await listApiKeys(context.store.db))[0]?.lastUsedAt).to.equal(null);
      await sweep(context);
      expect((await listApiKeys(context.store.db))[0]?.lastUsedAt).to.equal(app.clock.now);
    });
  });

  describe('POST /v1/auth/token', () => {
    it('200: returns an access token for the correct password', async () => {
      await app.addUser('alice', password);
      const response = await login('alice', password);
      expect(response.status).to.equal(200);
      expect(response.body).to.include({ token_type: 'bearer', expires_in: 3600 });
      expect(response.headers['cache-control']).to.equal('no-store');
    });

    it('200: deletes expired tokens', async () => {
      await app.addUser('alice', password);
      await login('alice', password);
      app.clock.now += 3600_000;
      await login('alice', password);
      const count = app.server.context.store.sqlite.prepare('select count(*) from access_tokens').pluck().get();
      expect(count).to.equal(1);
    });

    it('401: the same for a wrong password, an unknown user and a user without a password', async () => {
      await app.addUser('alice', password);
      await app.addUser('robot');
      for (const name of ['alice', 'nobody', 'robot']) {
        const response = await login(name, 'wrong');
        expect(response.status).to.equal(401);
        expect(response.body).to.deep.equal({ detail: 'Incorrect username or password' });
        expect(response.headers['www-authenticate']).to.equal('Bearer');
      }
    });

    it('413, 415, 422: refuses a form that is too large, another media type, or missing fields', async () => {
      expect((await login('alice', 'x'.repeat(2 ** 20))).status).to.equal(413);
      expect((await app.http.post('/v1/auth/token').send({ username: 'a', password: 'b' })).status).to.equal(415);
      const response = await app.http.post('/v1/auth/token').type('form').send('password=hush');
      expect(response.status).to.equal(422);
      expect(response.body.detail).to.deep.equal([
        { type: 'missing', loc: ['body', 'username'], msg: 'Field required', input: null },
      ]);
      const grant = await app.http.post('/v1/auth/token').type('form').send('grant_type=x&username=a&password=b');
      expect(grant.body.detail[0]).to.include({ type: 'string_pattern_mismatch' });
    });

    const loginFrom = (address: string, username: string, secret: string) => {
      Object.defineProperty(app.server.app.request, 'ip', { configurable: true, get: () => address });
      return login(username, secret);
    };

    itHere('429: after too many failures for one user name, whatever the address', async () => {
      app = await startApp({ loginAttempts: 2 });
      await app.addUser('alice', password);
      await app.addUser('bob', password);
      expect((await loginFrom('10.0.0.1', 'alice', password)).status).to.equal(200);
      expect((await loginFrom('10.0.0.2', 'alice', 'wrong')).status).to.equal(401);
      expect((await loginFrom('10.0.0.3', 'alice', 'wrong')).status).to.equal(401);
      expect((await loginFrom('10.0.0.4', 'bob', password)).status).to.equal(200);
      expect((await loginFrom('10.0.0.4', 'alice', password)).status).to.equal(429);
    });

    itHere('429: after too many failures from one address, whatever the user name', async () => {
      app = await startApp({ loginAttempts: 2 });
      await app.addUser('alice', password);
      expect((await loginFrom('10.0.0.1', 'one', 'wrong')).status).to.equal(401);
      expect((await loginFrom('10.0.0.1', 'two', 'wrong')).status).to.equal(401);
      expect((await loginFrom('10.0.0.2', 'alice', password)).status).to.equal(200);
      expect((await loginFrom('10.0.0.1', 'alice', password)).status).to.equal(429);
    });

    it('429: Retry-After says how long to wait', async () => {
      app = await startApp({ loginAttempts: 1 });
      await app.addUser('alice', password);
      expect((await login('alice', 'wrong')).status).to.equal(401);
      const response = await login('alice', password);
      expect(response.status).to.equal(429);
      expect(Number(response.headers['retry-after'])).to.be.within(1, 60);
      expect(response.body).to.deep.equal({ detail: 'Too many failed attempts: try again later' });
    });
  });
});
