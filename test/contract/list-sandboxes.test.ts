import { expect } from 'chai';
import { apiKey, type Caller, itHere, startApp, startTime, type TestApp } from '../helpers/server.ts';

const path = '/v1/sessions/sandboxes';

describe('GET /v1/sessions/sandboxes', () => {
  let app: TestApp;
  let alice: Caller;
  beforeEach(async () => {
    app = await startApp({ port: 0 });
    alice = await app.addUser('alice');
  });

  const list = (query: Record<string, string | number> = {}) => app.http.get(path).set(apiKey(alice)).query(query);
  const idsOf = (response: { body: { sandbox_id: string }[] }) => response.body.map(({ sandbox_id }) => sandbox_id);

  describe('200', () => {
    it("reads a form-encoded filter, as InstaVM's SDK sends it: a plus sign is a space", async () => {
      const id = await app.insert(alice, { metadata: { userId: '123', note: 'a b+c' } });
      await app.insert(alice, { metadata: { userId: '124' } });
      const found = async (query: string) => idsOf(await app.http.get(`${path}?${query}`).set(apiKey(alice)));
      expect(await found('metadata=%7B%22userId%22%3A+%22123%22%2C+%22note%22%3A+%22a+b%2Bc%22%7D')).to.deep.equal([
        id,
      ]);
      expect(await found('metadata=%7B%7D&limit=1')).to.have.length(1);
    });

    it("returns the seed's own example, with a time zone added to its times", async () => {
      await app.insert(alice, {
        id: 'vmid-abc-15',
        templateId: 'snap2',
        metadata: { userId: '123', env: 'dev' },
      });
      await app.insert(alice, { metadata: { userId: '124' } });
      const response = await app.http.get(`${path}?metadata={"userId":"123"}`).set(apiKey(alice));
      expect(response.status).to.equal(200);
      expect(response.headers['content-type']).to.match(/^application\/json/);
      expect(response.body).to.deep.equal([
        {
          sandbox_id: 'vmid-abc-15',
          template_id: 'snap2',
          name: 'snap2',
          metadata: { userId: '123', env: 'dev' },
          started_at: '2025-01-18T10:30:00.000Z',
          end_at: '2025-01-18T10:35:00.000Z',
          status: 'active',
        },
      ]);
    });

    it('returns an empty array when there are no sandboxes', async () => {
      expect((await list()).body).to.deep.equal([]);
    });

    it('calls a sandbox without a template "default"', async () => {
      await app.insert(alice);
      const { body } = await list();
      expect(body[0]).to.include({ template_id: null, name: 'default' });
    });

    it('orders newest first, ties by sandbox_id', async () => {
      await app.insert(alice, { id: 'old', startedAt: startTime - 1 });
      await app.insert(alice, { id: 'tie-b' });
      await app.insert(alice, { id: 'tie-a' });
      await app.insert(alice, { id: 'new', startedAt: startTime + 1 });
      expect(idsOf(await list())).to.deep.equal(['new', 'tie-a', 'tie-b', 'old']);
      expect(idsOf(await list({ limit: 2 }))).to.deep.equal(['new', 'tie-a']);
    });

    it('lists sandboxes of every status, with an end only for those that can still expire', async () => {
      await app.insert(alice, { id: 'a', status: 'active' });
      await app.insert(alice, { id: 'b', status: 'paused' });
      await app.insert(alice, { id: 'c', status: 'killed' });
      const { body } = await list();
      expect(body.map((s: { status: string }) => s.status)).to.deep.equal(['active', 'paused', 'killed']);
      expect(body.map((s: { end_at: string }) => s.end_at)).to.deep.equal(['2025-01-18T10:35:00.000Z', null, null]);
    });

    it('reports a sandbox as killed from its end on, before the sweeper runs', async () => {
      await app.insert(alice, { endAt: startTime + 1000 });
      app.clock.now = startTime + 999;
      expect((await list()).body[0]).to.include({ status: 'active', end_at: '2025-01-18T10:30:01.000Z' });
      app.clock.now = startTime + 1000;
      expect((await list()).body[0]).to.include({ status: 'killed', end_at: null });
    });

    it('returns at most 100 by default, and up to 1000 on request', async () => {
      for (let n = 0; n < 103; n++) await app.insert(alice);
      expect((await list()).body).to.have.length(100);
      expect((await list({ limit: 1 })).body).to.have.length(1);
      expect((await list({ limit: 1000 })).body).to.have.length(103);
    });

    it('returns metadata digit for digit', async () => {
      const text = '{"metadata":{"big":12345678901234567890,"fine":0.12345678901234567890123,"huge":1e400}}';
      await app.http.post('/v1/vms').set(apiKey(alice)).type('json').send(text).expect(201);
      const { text: listed } = await list();
      expect(listed).to.contain(
        '"metadata":{"big":12345678901234567890,"fine":0.12345678901234567890123,"huge":1e400}',
      );
      expect(idsOf(await list({ metadata: '{"big":12345678901234567890.0}' }))).to.have.length(1);
      expect(idsOf(await list({ metadata: '{"big":12345678901234567891}' }))).to.have.length(0);
    });

    itHere('returns the same bytes with and without response validation', async () => {
      await app.insert(alice, {
        templateId: 'a "quoted" \\ snåp\u2028',
        metadata: { __proto__: null, '': [1, { é: null }] },
      });
      const validated = await list();
      app.server.context.config.validateResponses = false;
      const plain = await list();
      expect(plain.text).to.equal(validated.text);
      expect(plain.headers['content-type']).to.equal(validated.headers['content-type']);
    });

    it('checks the credential and reads the store at every request, even for the same URL', async () => {
      const bob = await app.addUser('bob');
      await app.insert(alice, { id: 'first', metadata: { a: 1 } });
      const address = `${path}?metadata={"a":1}&limit=2`;
      const ask = async (headers: Record<string, string>) => {
        const { status, body } = await app.http.get(address).set(headers);
        return status === 200 ? idsOf({ body }) : status;
      };
      expect([await ask(apiKey(alice)), await ask(apiKey(bob)), await ask({})]).to.deep.equal([['first'], [], 401]);
      await app.insert(alice, { id: 'second', metadata: { a: 1 }, startedAt: startTime + 1 });
      expect([await ask(apiKey(alice)), await ask(apiKey(bob)), await ask({})]).to.deep.equal([
        ['second', 'first'],
        [],
        401,
      ]);
    });

    it('refuses the same URL in the same words each time', async () => {
      const answers = [];
      for (let n = 0; n < 3; n++) answers.push((await list({ limit: 0 })).text);
      expect(new Set(answers)).to.have.property('size', 1);
    });

    it('ignores query parameters that it does not know', async () => {
      expect((await list({ offset: 5, 'metadata[x]': 1, __proto__: 2 })).status).to.equal(200);
    });

    it('uses the last of a repeated parameter, and reads integers as pydantic does', async () => {
      for (let n = 0; n < 3; n++) await app.insert(alice);
      for (const query of ['limit=abc&limit=2', 'limit=2.0', 'limit=+2', 'limit=%202%20', 'limit=0_2']) {
        const response = await app.http.get(`${path}?${query}`).set(apiKey(alice));
        expect(response.body, query).to.have.length(2);
      }
    });
  });

  describe('401', () => {
    it('is returned without a credential', async () => {
      const response = await app.http.get(path);
      expect(response.status).to.equal(401);
      expect(response.body).to.deep.equal({ detail: 'Not authenticated' });
      expect(response.headers['www-authenticate']).to.equal('Bearer');
    });

    it('takes precedence over errors in the parameters', async () => {
      await app.http.get(`${path}?limit=0`).expect(401);
    });
  });

  describe('422', () => {
    const refused = async (query: string) => {
      const response = await app.http.get(`${path}?${query}`).set(apiKey(alice));
      expect(response.status, query).to.equal(422);
      return response.body.detail;
    };

    it("refuses limits outside 1 to 1000 in pydantic's words", async () => {
      expect(await refused('limit=0')).to.deep.equal([
        {
          type: 'greater_than_equal',
          loc: ['query', 'limit'],
          msg: 'Input should be greater than or equal to 1',
          input: '0',
          ctx: { ge: 1 },
        },
      ]);
      expect(await refused('limit=1001')).to.deep.equal([
        {
          type: 'less_than_equal',
          loc: ['query', 'limit'],
          msg: 'Input should be less than or equal to 1000',
          input: '1001',
          ctx: { le: 1000 },
        },
      ]);
      expect((await refused('limit=-1'))[0]).to.include({ type: 'greater_than_equal', input: '-1' });
      expect((await refused('limit=99999999999999999999999'))[0]).to.include({ type: 'less_than_equal' });
    });

    it('refuses a limit that is no integer', async () => {
      for (const input of ['abc', '1.5', '', '1e2', '0x10', '1__0', 'true', 'null', '1:2', '½']) {
        expect(await refused(`limit=${encodeURIComponent(input)}`)).to.deep.equal([
          {
            type: 'int_parsing',
            loc: ['query', 'limit'],
            msg: 'Input should be a valid integer, unable to parse string as an integer',
            input,
          },
        ]);
      }
    });

    it('refuses metadata that is not JSON', async () => {
      for (const input of ['', 'x', '{', "{'a':1}", '{"a":1,}', '{} {}', '\u00ff']) {
        const [problem, ...rest] = await refused(`metadata=${encodeURIComponent(input)}`);
        expect(rest).to.deep.equal([]);
        expect(problem).to.include({ type: 'json_invalid', input });
        expect(problem.loc).to.deep.equal(['query', 'metadata']);
        expect(problem.msg).to.match(/^Invalid JSON: /);
      }
    });

    it('refuses JSON that is not an object', async () => {
      for (const input of [null, [], [{ a: 1 }], '', 'a', 5, true]) {
        expect(await refused(`metadata=${encodeURIComponent(JSON.stringify(input))}`)).to.deep.equal([
          { type: 'dict_type', loc: ['query', 'metadata'], msg: 'Input should be a valid dictionary', input },
        ]);
      }
    });

    it('refuses a filter that is too large or nests too deep', async () => {
      const long = JSON.stringify({ a: 'x'.repeat(8192) });
      expect((await refused(`metadata=${long}`))[0]).to.include({ type: 'string_too_long' });
      const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
      expect((await list({ metadata: nested(64) })).status).to.equal(200);
      expect((await refused(`metadata=${nested(65)}`))[0]).to.include({ type: 'json_invalid' });
    });

    it('accepts the longest filter with every character escaped', async () => {
      const longest = JSON.stringify({ a: 'é'.repeat(8192 - '{"a":""}'.length) });
      const url = await app.server.start();
      const query = new URLSearchParams({ metadata: longest });
      expect((await fetch(`${url}${path}?${query}`, { headers: apiKey(alice) })).status).to.equal(200);
    });

    it('refuses what jsonb refuses: NUL, half a surrogate pair, a number beyond its range', async () => {
      for (const filter of ['{"a":"\\u0000"}', '{"\\u0000":1}', '{"a":["\\ud800"]}', '{"a":1e200000}']) {
        const [problem] = await refused(`metadata=${encodeURIComponent(filter)}`);
        expect(problem).to.include({ type: 'value_error' });
        expect(problem.msg).to.match(/^Value error, a (string|number) /);
      }
    });

    it('reports all errors of a request', async () => {
      const problems = await refused('limit=0&metadata=[]');
      expect(problems.map((p: { type: string }) => p.type)).to.deep.equal(['dict_type', 'greater_than_equal']);
    });
  });
});
