import { expect } from 'chai';
import { anyId, timeAt, unknown, useE2b } from '../helpers/clients/e2b-client.ts';
import { apiKey } from '../helpers/server.ts';

describe("E2B's templates", () => {
  const { app, alice, bob, e2b, bobs } = useE2b();

  const take = async (name?: string) => {
    const { body } = await e2b.post(`/sandboxes/${await e2b.create()}/snapshots`, { name });
    return body.snapshotID as string;
  };
  const alias = async (name: string, caller = e2b) => {
    const { status, body } = await caller.get(`/templates/aliases/${encodeURIComponent(name)}`);
    return [status, body];
  };
  const unknownTemplate = (name: string) => ({ code: 404, message: `template '${name}' not found` });

  describe('by alias', () => {
    it('200: a snapshot, by name and id', async () => {
      const withTag = await take('n');
      const [{ templateID }] = (await e2b.get('/templates')).body;
      for (const name of ['n', 'N:default', withTag, templateID]) {
        expect(await alias(name), name).to.deep.equal([200, { templateID, public: false }]);
      }
    });

    it("200: the templates that E2B's clients name by themselves, for every user", async () => {
      for (const name of ['base', 'code-interpreter-v1', 'desktop', 'mcp-gateway']) {
        expect(await alias(name, bobs), name).to.deep.equal([200, { templateID: name, public: true }]);
      }
    });

    it('404: any other name, although a sandbox can start from it, and what another user has', async () => {
      await take('n');
      await e2b.create({ templateID: 'used' });
      for (const name of ['nonexistent', 'used', 'base:v2', `${bob.name}/base`]) {
        expect(await alias(name)).to.deep.equal([404, unknownTemplate(name)]);
      }
      for (const name of ['n', `${alice.name}/n`]) {
        expect(await alias(name, bobs)).to.deep.equal([404, unknownTemplate(name)]);
      }
    });

    it('200: a snapshot named `tags`; 400: what is no reference; 401: without a key', async () => {
      await take('tags');
      expect((await alias('tags'))[0]).to.equal(200);
      expect((await alias('a b'))[0]).to.equal(400);
      expect((await app.http.get('/templates/aliases/base')).status).to.equal(401);
    });
  });

  describe('one by one', () => {
    it('200: with its one build', async () => {
      await take('n');
      const [listed] = (await e2b.get('/templates')).body;
      const { status, body } = await e2b.get('/templates/n?limit=5');
      const { buildID, cpuCount, memoryMB, diskSizeMB, envdVersion } = listed;
      const size = { cpuCount, memoryMB, diskSizeMB, envdVersion };
      const times = { createdAt: timeAt(0), updatedAt: timeAt(0), finishedAt: timeAt(0) };
      expect([status, body]).to.deep.equal([
        200,
        { ...listed, builds: [{ buildID, status: 'ready', ...times, ...size }] },
      ]);
    });

    it('404: an unknown one; 400: a next page, because there is only one; 401: without a key', async () => {
      await take('n');
      for (const [name, caller] of [
        ['nope', e2b],
        ['base', e2b],
        ['n', bobs],
      ] as const) {
        const { status, body } = await caller.get(`/templates/${name}`);
        expect([status, body]).to.deep.equal([404, unknownTemplate(name)]);
      }
      const { status, body } = await e2b.get('/templates/n?nextToken=abc');
      expect([status, body]).to.deep.equal([400, { code: 400, message: 'Invalid next token' }]);
      expect((await app.http.get('/templates/n')).status).to.equal(401);
    });
  });

  describe('page by page', () => {
    it('200: newest first, with a token while there are more', async () => {
      for (let n = 0; n < 5; n++) {
        await take();
        app.clock.now += 1000;
      }
      const all = (await e2b.get('/templates')).body;
      const found: object[] = [];
      let token: string | undefined = '';
      const sizes: number[] = [];
      while (token !== undefined) {
        const { body, headers } = await e2b.get(`/v2/templates?limit=2${token && `&nextToken=${token}`}`);
        found.push(...body);
        sizes.push(body.length);
        token = headers['x-next-token'];
      }
      expect(found).to.deep.equal(all);
      expect(sizes).to.deep.equal([2, 2, 1]);
      expect((await bobs.get('/v2/templates')).body).to.deep.equal([]);
    });

    it('400: a bad limit or token; 401: without a key', async () => {
      for (const query of ['limit=0', 'limit=101', 'nextToken=abc']) {
        expect((await e2b.get(`/v2/templates?${query}`)).status, query).to.equal(400);
      }
      expect((await app.http.get('/v2/templates')).status).to.equal(401);
    });
  });

  it('200: there are no default templates; 401: without a key', async () => {
    const { status, body } = await e2b.get('/default-templates');
    expect([status, body]).to.deep.equal([200, []]);
    const refused = await app.http.get('/default-templates');
    expect([refused.status, refused.body]).to.deep.equal([401, { code: 401, message: 'Not authenticated' }]);
  });

  describe('visibility', () => {
    for (const version of ['', '/v2']) {
      const change = (name: string, body: object, caller = alice) =>
        app.http.patch(`${version}/templates/${name}`).set(apiKey(caller)).send(body);

      it(`${version} 501: a public template, in words; 200: a private one, which each is`, async () => {
        await take('n');
        const refused = await change('n', { public: true });
        expect(refused.status).to.equal(501);
        expect(refused.body.message).to.match(/^public is not offered: a snapshot belongs to its owner/);
        for (const body of [{ public: false }, {}]) {
          const { status, body: answer } = await change('n', body);
          expect([status, answer]).to.deep.equal([200, { names: [`${alice.name}/n`] }]);
        }
        expect((await e2b.get('/templates/n')).body.public).to.equal(false);
      });

      it(`${version} 400, 401, 403, 404, 413, 415`, async () => {
        await take('n');
        expect((await change('n', { name: 'x' })).status).to.equal(400);
        expect((await change('nope', { public: false })).body).to.deep.equal(unknownTemplate('nope'));
        expect((await change('n', { public: false }, bob)).body).to.deep.equal(unknownTemplate('n'));
        const path = `${version}/templates/n`;
        expect((await app.http.patch(path).send({})).status).to.equal(401);
        const { api_key: key } = (
          await app.http
            .post('/v1/api-keys/')
            .set(apiKey(alice))
            .send({ permissions: ['read'] })
        ).body;
        expect((await app.http.patch(path).set('X-API-Key', key).send({})).status).to.equal(403);
        expect((await change('n', { x: 'x'.repeat(2 ** 20) })).status).to.equal(413);
        expect((await app.http.patch(path).set(apiKey(alice)).type('text').send('x')).status).to.equal(415);
      });
    }
  });

  describe("a sandbox's log", () => {
    it('200: empty; 400, 401, 404', async () => {
      const id = await e2b.create();
      const query = 'cursor=1&limit=0&direction=backward&level=warn&search=x';
      const { status, body } = await e2b.get(`/v2/sandboxes/${id}/logs?${query}`);
      expect([status, body]).to.deep.equal([200, { logs: [] }]);
      for (const bad of ['limit=1001', 'cursor=-1', 'direction=up', 'level=loud']) {
        expect((await e2b.get(`/v2/sandboxes/${id}/logs?${bad}`)).status, bad).to.equal(400);
      }
      expect((await app.http.get(`/v2/sandboxes/${id}/logs`)).status).to.equal(401);
      expect((await bobs.get(`/v2/sandboxes/${id}/logs`)).body).to.deep.equal(unknown(id));
      expect((await e2b.get(`/v2/sandboxes/${anyId}/logs`)).body).to.deep.equal(unknown(anyId));
    });
  });
});
