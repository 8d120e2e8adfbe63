import { expect } from 'chai';
import { sweep } from '../../app/jobs/tasks.ts';
import { timeAt, unknown, useE2b } from '../helpers/clients/e2b-client.ts';
import { clientOf } from '../helpers/server.ts';

describe("the lifetime of E2B's sandboxes", () => {
  const { app, alice, e2b } = useE2b();

  const pass = (seconds: number) => {
    app.clock.now += seconds * 1000;
  };
  const endOf = async (id: string) => (await e2b.read(id)).endAt;

  describe('creating', () => {
    it('201: lives 15 seconds by default (300 on the newer path), and its details can be read', async () => {
      for (const [path, seconds] of [
        ['/sandboxes', 15],
        ['/v2/sandboxes', 300],
      ] as const) {
        const { status, body } = await e2b.post(path, { templateID: 'base' });
        const { sandboxID } = body;
        const started = { templateID: 'base', alias: 'base', sandboxID, clientID: '6532622b', envdVersion: '0.6.4' };
        expect(status).to.equal(201);
        expect(sandboxID).to.match(/^i[a-z0-9]{20}$/);
        expect(body).to.deep.equal({ ...started, domain: 'sandpit.invalid' });
        expect(await e2b.read(sandboxID)).to.deep.equal({
          ...{
            ...started,
            domain: 'sandpit.invalid',
            startedAt: timeAt(0),
            endAt: timeAt(seconds),
            state: 'running',
            metadata: {},
          },
          cpuCount: 2,
          memoryMB: 512,
          diskSizeMB: 0,
          allowInternetAccess: null,
          lifecycle: { autoResume: false, onTimeout: 'kill' },
        });
      }
    });

    it('201: stores and returns all settings except the environment', async () => {
      const metadata = { a: '', 'é ü&=%+': '日本', emoji: '😀', ...JSON.parse('{"__proto__":"p"}') };
      const kept = {
        network: {
          allowOut: ['10.0.0.0/8'],
          rules: { a: [{ transform: { headers: { 'X-A': 'b' } } }, {}] },
          allowPublicTraffic: false,
        },
      };
      for (const path of ['/sandboxes', '/v2/sandboxes']) {
        const { body } = await e2b.post(path, {
          templateID: 'base',
          timeout: 86_400,
          autoPause: true,
          autoPauseMemory: true,
          secure: true,
          mcp: null,
          autoResume: { enabled: true },
          allow_internet_access: false,
          envVars: { TOKEN: 'hush-hush' },
          iam: {},
          ...kept,
          metadata,
        });
        const detail = await e2b.read(body.sandboxID);
        expect(detail).to.deep.include({ ...kept, metadata, endAt: timeAt(86_400), allowInternetAccess: false });
        expect(detail.lifecycle).to.deep.equal({ autoResume: true, onTimeout: 'pause' });
        const { text } = await e2b.get('/v2/sandboxes');
        expect(text).to.contain('"__proto__":"p"');
        expect(JSON.stringify([body, detail]) + text + app.log()).not.to.match(/TOKEN|hush-hush/);
      }
      const envs = app.server.context.store.sqlite.prepare('select env from sandboxes where owner_id = ?').pluck();
      expect(envs.all(alice.id)).to.deep.equal(Array(2).fill('{"TOKEN":"hush-hush"}'));
    });

    it('201: accepts any template and returns its name as the alias', async () => {
      for (const [given, templateID, alias] of [
        ['Base', 'base', 'base'],
        ['base:default', 'base', 'base'],
        ['base:v1.2', 'base:v1.2', 'base'],
        [`${alice.name}/base`, 'base', 'base'],
        ['bob/base:v1', 'bob/base:v1', 'base'],
      ]) {
        const { body } = await e2b.post('/sandboxes', { templateID: given });
        expect(body).to.include({ templateID, alias });
      }
    });

    it('400: a timeout of 0 or above a day, and autoPauseMemory without autoPause', async () => {
      const create = (body: object) => e2b.post('/v2/sandboxes', { templateID: 'base', ...body });
      expect((await create({ timeout: 0 })).body).to.deep.equal({
        code: 400,
        message: 'validation error: body.timeout: Input should be greater than or equal to 1',
      });
      for (const timeout of [-1, 86_401, 1.5, '60', null]) expect((await create({ timeout })).status).to.equal(400);
      expect((await create({ autoPauseMemory: false })).status).to.equal(400);
      const both = { autoPause: true, autoPauseMemory: false };
      expect((await create({ ...both, autoResume: { enabled: true } })).status).to.equal(400);
      expect(await e2b.listed()).to.deep.equal([]);
      expect((await create({ ...both, timeout: 1 })).status).to.equal(201);
    });
  });

  describe('reading', () => {
    it('200: accepts an id with a client id appended', async () => {
      const id = await e2b.create();
      expect(await e2b.read(`${id}-6532622b`)).to.deep.equal(await e2b.read(id));
      expect(await e2b.does(`${id}-6532622b`, 'pause')).to.equal(204);
      for (const wrong of [`${id}-`, `${id}-a-b`, `${id.slice(0, -1)}-a`]) {
        expect(await e2b.read(wrong)).to.deep.equal(unknown(wrong));
      }
    });

    it('200: an InstaVM sandbox: metadata as text, no template, no end', async () => {
      const native = clientOf(app, alice);
      const metadata = { text: 't', number: 1, list: [1, 'a'], deep: { a: null }, nothing: null, flag: true };
      const { vm_id } = (await native.create({ metadata, memory_mb: 1024, vcpu_count: 4 })).body;
      const detail = await e2b.read(vm_id);
      expect(detail).to.include({ templateID: 'default', alias: 'default', memoryMB: 1024, cpuCount: 4 });
      expect(detail.metadata).to.deep.equal({
        text: 't',
        number: '1',
        list: '[1,"a"]',
        deep: '{"a":null}',
        nothing: 'null',
        flag: 'true',
      });
      const { body } = await native.createText('{"metadata":{"n":12345678901234567890}}');
      expect((await e2b.read(body.vm_id)).metadata).to.deep.equal({ n: '12345678901234567890' });
      const endless = await app.insert(alice, { endAt: null });
      expect(await e2b.read(endless)).to.include({ state: 'running', endAt: '9999-12-31T23:59:59.999Z' });
      expect(await e2b.does(endless, 'connect', { timeout: 60 })).to.equal(200);
      expect(await endOf(endless)).to.equal('9999-12-31T23:59:59.999Z');
    });

    it('200: empty metrics and logs for a running and a paused sandbox', async () => {
      const id = await e2b.create();
      for (const _ of ['running', 'paused']) {
        expect((await e2b.get(`/sandboxes/${id}/metrics?start=1&end=2`)).body).to.deep.equal([]);
        const logs = await e2b.get(`/sandboxes/${id}/logs?start=1&limit=0`);
        expect(logs.body).to.deep.equal({ logs: [], logEntries: [] });
        const query = [id, ...Array(99).keys()].join(',');
        const { status, body } = await e2b.get(`/sandboxes/metrics?sandbox_ids=${query}`);
        expect([status, body]).to.deep.equal([200, { sandboxes: {} }]);
        await e2b.does(id, 'pause');
      }
    });
  });

  describe('timeouts', () => {
    it('204: a timeout counts from now, may shorten or extend, and is at most a day', async () => {
      const id = await e2b.create();
      pass(10);
      for (const [timeout, end] of [
        [20, 30],
        [1, 11],
        [86_400, 86_410],
        [86_401, 86_410],
        [2 ** 31 - 1, 86_410],
      ] as const) {
        const { status, text } = await e2b.post(`/sandboxes/${id}/timeout`, { timeout });
        expect([status, text]).to.deep.equal([204, '']);
        expect(await endOf(id)).to.equal(timeAt(end));
      }
    });

    it('204: a timeout of 0 ends or pauses it at once', async () => {
      const [one, two] = [await e2b.create(), await e2b.create({ autoPause: true })];
      for (const id of [one, two]) expect(await e2b.does(id, 'timeout', { timeout: 0 })).to.equal(204);
      expect(await e2b.read(one)).to.deep.equal(unknown(one));
      expect(await e2b.read(two)).to.include({ state: 'paused', endAt: timeAt(0) });
    });

    it('204: a refresh extends by at least 15 seconds and never shortens', async () => {
      const id = await e2b.create({ timeout: 20 });
      for (const [body, end] of [
        [undefined, 20],
        [{ duration: 0 }, 20],
        [{ duration: 21 }, 21],
        [{ duration: 3600 }, 3600],
        [{ duration: 15 }, 3600],
      ] as const) {
        expect(await e2b.does(id, 'refreshes', body)).to.equal(204);
        expect(await endOf(id)).to.equal(timeAt(end));
      }
      for (const body of [undefined, {}, { duration: 0 }]) {
        await e2b.does(id, 'timeout', { timeout: 1 });
        expect(await e2b.does(id, 'refreshes', body)).to.equal(204);
        expect(await endOf(id)).to.equal(timeAt(15));
      }
    });

    it('404: after the end, before and after a sweep', async () => {
      const id = await e2b.create({ timeout: 20 });
      app.clock.now += 19_999;
      expect((await e2b.read(id)).state).to.equal('running');
      app.clock.now += 1;
      for (const _ of ['before', 'after']) {
        expect(await e2b.read(id)).to.deep.equal(unknown(id));
        expect(await e2b.listed()).to.deep.equal([]);
        expect((await clientOf(app, alice).read(id)).body.status).to.equal('killed');
        await sweep(app.server.context);
      }
    });
  });
});
