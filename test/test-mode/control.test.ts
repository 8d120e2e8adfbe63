import { expect } from 'chai';
import { listPath, startTestClient, type TestClient } from '../helpers/clients/test-client.ts';
import { operations } from '../helpers/contract.ts';

const start = '2025-01-18T10:30:00.000Z';
const record = { sandbox_id: 'a', owner: 'admin', metadata: {}, started_at: '2025-01-18T10:00:00Z', status: 'killed' };

describe('controlling a test server', () => {
  let client: TestClient;
  let { call, steer, create, list } = {} as TestClient;
  before(async () => {
    client = await startTestClient(['--random-seed', '1']);
    ({ call, steer, create, list } = client);
  });
  beforeEach(() => steer('reset'));
  after(() => client.server.closeStdin());

  describe('the clock', () => {
    it('stands still where it is set, and sandboxes expire at once', async () => {
      expect((await call('GET', '/_test/clock')).json()).to.deep.equal({ now: start, frozen: true });
      const id = await create({ vm_lifetime_seconds: 60 });
      expect(await steer('clock', { advance_seconds: 59.999 })).to.have.property('now', '2025-01-18T10:30:59.999Z');
      expect(await list()).to.deep.equal([`${id} active`]);
      await steer('clock', { advance_seconds: 0.001 });
      expect(await list()).to.deep.equal([`${id} killed`]);
    });

    it('can be set, advanced and started in one request', async () => {
      const change = { set: '2030-01-01T00:00:00+01:00', advance_seconds: 3600, freeze: true };
      expect(await steer('clock', change)).to.deep.equal({ now: '2030-01-01T00:00:00.000Z', frozen: true });
      const { now, frozen }: { now: string; frozen: boolean } = await steer('clock', { freeze: false });
      expect(frozen).to.equal(false);
      expect(Date.parse(now)).to.be.within(Date.UTC(2030, 0, 1), Date.UTC(2030, 0, 1) + 60_000);
      const later: { now: string } = (await call('GET', '/_test/clock')).json();
      expect(later.now >= now).to.equal(true);
    });

    it('applies to access tokens, too', async () => {
      await steer('users', { name: 'alice', password: 'correct horse' });
      const { text } = await call('POST', '/v1/auth/token', 'username=alice&password=correct%20horse', {
        'Content-Type': 'application/x-www-form-urlencoded',
      });
      const token = { Authorization: `Bearer ${JSON.parse(text).access_token}` };
      await steer('clock', { advance_seconds: 3599 });
      expect((await call('GET', listPath, undefined, token)).status).to.equal(200);
      await steer('clock', { advance_seconds: 1 });
      expect((await call('GET', listPath, undefined, token)).status).to.equal(401);
    });

    it('is the Date of every response', async () => {
      await steer('clock', { set: '2031-05-06T07:08:09Z' });
      expect((await call('GET', listPath)).headers.get('date')).to.equal('Tue, 06 May 2031 07:08:09 GMT');
    });

    it('422: an invalid time, or one that cannot be stored', async () => {
      const wrong = [
        { set: 'noon' },
        { set: '2016-12-31T23:59:60Z' },
        { advance_seconds: -1 },
        { set: '9999-12-31T00:00:00Z', advance_seconds: 100_000 },
        { freeze: 'no' },
        { x: 1 },
      ];
      for (const body of wrong) expect((await call('POST', '/_test/clock', body)).status).to.equal(422);
      expect((await call('GET', '/_test/clock')).json()).to.have.property('now', start);
    });
  });

  describe('seeding', () => {
    it('accepts the import format, as an array or as lines, and creates the owners', async () => {
      const rows = [record, { ...record, sandbox_id: 'b', owner: 'bob', metadata: { n: 1 } }];
      const seeded: { imported: number; api_keys: Record<string, string> } = await steer('seed', rows);
      expect(seeded.imported).to.equal(2);
      expect(Object.keys(seeded.api_keys)).to.deep.equal(['bob']);
      expect(await list()).to.deep.equal(['a killed']);
      expect(await list({ 'X-API-Key': seeded.api_keys.bob as string })).to.deep.equal(['b killed']);
      const lines = `{"sandbox_id":"c","owner":"bob","metadata":{"n":12345678901234567890},"started_at":"2025-01-18T10:00:01Z","status":"killed"}\n\n`;
      const type = { 'Content-Type': 'application/x-ndjson' };
      expect((await call('POST', '/_test/seed', lines, type)).json()).to.deep.equal({ imported: 1, api_keys: {} });
      const bobs = { 'X-API-Key': seeded.api_keys.bob as string };
      const query = `?metadata=${encodeURIComponent('{"n":12345678901234567890}')}`;
      expect((await call('GET', `${listPath}${query}`, undefined, bobs)).text).to.contain('{"n":12345678901234567890}');
    });

    it('422, 409: names the bad record and stores nothing', async () => {
      const twice = await call('POST', '/_test/seed', [record, record]);
      expect([twice.status, twice.text]).to.deep.equal([409, '{"detail":"a sandbox a exists already"}']);
      const { status, text } = await call('POST', '/_test/seed', [record, { ...record, sandbox_id: 'B' }]);
      expect(status).to.equal(422);
      expect(JSON.parse(text).detail[0].loc).to.deep.equal(['body', 1, 'sandbox_id']);
      const strange = [{ ...record, started_at: '2016-12-31T23:59:60Z' }];
      expect((await call('POST', '/_test/seed', strange)).text).to.contain('"started_at"],"msg":');
      expect((await call('POST', '/_test/seed', '{"a":', { 'Content-Type': 'application/x-ndjson' })).status).to.equal(
        422,
      );
      expect((await call('POST', '/_test/seed', [{ ...record, owner: ' ' }])).status).to.equal(422);
      expect((await call('POST', '/_test/seed', record)).text).to.contain('Input should be a valid list');
      expect(await list()).to.deep.equal([]);
    });

    it('creates as many keys for a user as requested', async () => {
      const [one, two] = [await steer('users', { name: 'bob' }), await steer('users', { name: 'bob' })] as {
        api_key: string;
      }[];
      expect(one?.api_key).not.to.equal(two?.api_key);
      for (const user of [one, two]) expect(await list({ 'X-API-Key': user?.api_key ?? '' })).to.deep.equal([]);
      for (const body of [{ name: ' ' }, { name: 'bob', password: 'short' }, {}]) {
        expect((await call('POST', '/_test/users', body)).status).to.equal(422);
      }
    });
  });

  it('concurrent resets run one after another', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => call('POST', '/_test/reset')));
    expect(answers.map(({ status }) => status)).to.deep.equal([200, 200, 200]);
    expect(await list()).to.deep.equal([]);
  });

  it('a reset removes all changes and keeps the first key valid', async () => {
    await create();
    await steer('clock', { advance_seconds: 5, freeze: false });
    await steer('faults', { status: 500, times: 9 });
    await steer('reset');
    expect(await list()).to.deep.equal([]);
    expect((await call('GET', '/_test/clock')).json()).to.deep.equal({ now: start, frozen: true });
    expect((await call('GET', '/_test/faults')).json()).to.deep.equal({ faults: [] });
    const { requests }: { requests: unknown[] } = (await call('GET', '/_test/requests', undefined, {})).json();
    expect(requests).to.have.length(1);
  });

  describe('recorded requests', () => {
    type Requests = {
      requests: { method: string; url: string; headers: object; body: string; status: number | null }[];
    };
    const recorded = async () => ((await call('GET', '/_test/requests', undefined, {})).json() as Requests).requests;

    it('have what was sent, whatever the response', async () => {
      await call('GET', `${listPath}?limit=0`, undefined, { 'X-API-Key': 'wrong', 'X-Mine': 'é' });
      await call('POST', '/v1/vms', '{"metadata":', { 'Content-Type': 'application/json' });
      await steer('faults', { connection: 'drop' });
      await call('POST', '/nowhere', 'x'.repeat(100_000)).catch(() => {});
      const [one, two, three, ...others] = await recorded();
      expect(others).to.deep.equal([]);
      expect(one).to.include({ method: 'GET', url: `${listPath}?limit=0`, body: '', status: 401 });
      expect(one?.headers).to.include({ 'x-api-key': 'wrong' });
      expect([two?.body, two?.status]).to.deep.equal(['{"metadata":', 401]);
      expect([three?.body, three?.status]).to.deep.equal(['x'.repeat(65_536), null]);
    });

    it('are listed with their bodies before they are answered', async () => {
      await steer('faults', { delay_seconds: 60 });
      const waiting = call('POST', '/v1/vms', { metadata: { a: 1 } }).catch(() => {});
      let body = '';
      while (body === '') body = (await recorded())[0]?.body ?? '';
      expect(body).to.equal('{"metadata":{"a":1}}');
      await steer('reset');
      await waiting;
    });

    it('are the newest thousand, and none after clearing', async () => {
      for (let n = 0; n <= 1000; n++) await call('GET', `/health?n=${n}`);
      const requests = await recorded();
      expect([requests.length, requests[0]?.url]).to.deep.equal([1000, '/health?n=1']);
      expect((await call('DELETE', '/_test/requests', undefined, {})).status).to.equal(204);
      expect(await recorded()).to.deep.equal([]);
    });
  });

  it('413, 415: bodies that are too large or of another media type', async () => {
    const taking = operations.filter(({ path, operation }) => path.startsWith('/_test/') && operation.requestBody);
    for (const { path } of taking) {
      const large = { password: 'x'.repeat(2 ** 20) };
      expect((await call('POST', path, large)).status, path).to.equal(413);
      expect((await call('POST', path, 'x', { 'Content-Type': 'text/plain' })).status, path).to.equal(415);
    }
  });
});
