import { expect } from 'chai';
import { withWriteLock } from '../helpers/processes/busy.ts';
import { apiKey, type Caller, shareApp, startTime, type TestApp } from '../helpers/server.ts';

const terminal = { tmux_session: 'main', command: 'bash', cwd: '/app' };
const texts = { description: 'For tests', source_repo: 'https://example.com/x', icon: 'x.svg', icon_url: null };

let slugs = 0;

describe("InstaVM's templates", () => {
  const shared = shareApp();
  let app: TestApp;
  let alice: Caller;
  let bob: Caller;
  let slug: string;
  let snapshotId: string;
  beforeEach(async () => {
    app = shared();
    slug = `devbox-${++slugs}`;
    alice = await app.addUser(`alice-${slugs}`);
    bob = await app.addUser(`bob-${slugs}`);
    snapshotId = await takeSnapshot(alice);
  });

  const post = (caller: Caller, path: string, body?: object) => app.http.post(path).set(apiKey(caller)).send(body);
  const takeSnapshot = async (caller: Caller, name = `template/${slug}:1.0.0`): Promise<string> =>
    (await post(caller, '/v1/snapshots', { oci_image: 'ubuntu', name, type: 'system' })).body.id;
  const manifest = (changes: object = {}) => ({
    schema_version: 2,
    kind: 'devbox',
    slug,
    name: 'A devbox',
    version: '1.0.0',
    audience: 'devbox',
    vm: { memory_mb: 1024, vcpus: 4 },
    build: [],
    runtime: [],
    terminal,
    app: null,
    ...texts,
    ...changes,
  });
  const publish = (changes: object = {}, caller = alice, snapshot_id = snapshotId) =>
    post(caller, '/v1/templates', { manifest: manifest(changes), snapshot_id, verify: false });
  const run = (body?: object, caller = alice) => post(caller, `/v1/templates/${slug}/runs`, body);
  const listed = async () =>
    (await app.http.get('/v1/templates')).body.templates.filter((each: { slug: string }) => each.slug === slug);
  const summary = () => ({
    slug,
    name: 'A devbox',
    version: '1.0.0',
    audience: 'devbox',
    has_app: false,
    aliases: [],
  });
  const whole = () => ({ ...summary(), ...texts, status: 'active', terminal, runtime: [], app: null });

  it('503: publishing and running are refused while another process holds the write lock; reads continue', async () => {
    await publish();
    await withWriteLock(app, async () => {
      const answers = [publish({ version: '1.0.1' }), run()].map((answer) => answer.then(({ status }) => status));
      expect(await listed()).to.deep.equal([summary()]);
      expect(await Promise.all(answers)).to.deep.equal([503, 503]);
    });
  });

  describe('publishing', () => {
    it('201: publishes a template, which everyone can read without a key', async () => {
      const { status, body, headers } = await publish();
      expect([status, body]).to.deep.equal([201, { ...whole(), snapshot_id: snapshotId }]);
      expect(headers.location).to.equal(`/v1/templates/${slug}`);
      expect((await app.http.get(`/v1/templates/${slug}`)).body, 'without the snapshot').to.deep.equal(whole());
      expect(await listed()).to.deep.equal([summary()]);
    });

    it('201: publishing a slug again replaces the template, and gives what it had without its version', async () => {
      await publish();
      expect((await publish()).status).to.equal(201);
      await publish({ version: '2.0.0', description: null, audience: 'chat-agent' });
      const changed = { ...whole(), version: '2.0.0', description: null, audience: 'chat-agent' };
      expect((await app.http.get(`/v1/templates/${slug}`)).body).to.deep.equal(changed);
      expect(await listed()).to.have.length(1);
    });

    it('501: what needs a machine, in words', async () => {
      for (const [changes, name] of [
        [{ build: [{ name: 'x', command: 'make' }] }, 'manifest.build'],
        [{ runtime: [{ kind: 'command', command: 'make', optional: false, secrets: [] }] }, 'manifest.runtime'],
        [{ app: { port: 80, health_path: '/', share: 'private' } }, 'manifest.app'],
        [{ egress: { mode: 'deny', allow_domains: [] } }, 'manifest.egress'],
      ] as const) {
        const { status, body } = await publish(changes);
        expect(status, name).to.equal(501);
        expect(body.detail).to.match(new RegExp(`^${name} is not offered: `));
      }
      const verified = await post(alice, '/v1/templates', {
        manifest: manifest(),
        snapshot_id: snapshotId,
        verify: true,
      });
      expect(verified.status).to.equal(501);
      expect(verified.body.detail).to.match(/^verify is not offered: /);
      expect(await listed()).to.deep.equal([]);
    });

    it('403: a slug of another user, in words', async () => {
      await publish();
      const { status, body } = await publish({}, bob, await takeSnapshot(bob));
      const detail = `Another user has published a template '${slug}': choose another slug`;
      expect([status, body]).to.deep.equal([403, { detail }]);
    });

    it('403: a snapshot that the caller does not have, in words', async () => {
      for (const id of ['s-unknown', snapshotId]) {
        const { status, body } = await publish({}, bob, id);
        const detail = `You have no snapshot '${id}' for this template: create it with POST /v1/snapshots first`;
        expect([status, body]).to.deep.equal([403, { detail }]);
      }
    });

    it('403: more than 100 templates, and none of another user counts', async () => {
      for (let n = 0; n < 100; n++) expect((await publish({ slug: `${slug}-${n}` })).status).to.equal(201);
      const { status, body } = await publish();
      const detail = 'You have 100 templates, as many as a user may: delete the snapshot of one first';
      expect([status, body]).to.deep.equal([403, { detail }]);
      expect((await publish({ slug: `${slug}-0` })).status, 'one of the 100 again').to.equal(201);
      expect((await publish({}, bob, await takeSnapshot(bob))).status).to.equal(201);
      await app.http.delete(`/v1/snapshots/${snapshotId}`).set(apiKey(alice));
    });

    it('422, 401, 403, 413, 415: as for every change', async () => {
      for (const changes of [{ slug: '../x' }, { slug: '' }, { kind: 'job' }, { audience: 'public' }, { vm: {} }]) {
        expect((await publish(changes)).status, JSON.stringify(changes)).to.equal(422);
      }
      const body = { manifest: manifest(), snapshot_id: snapshotId };
      expect((await app.http.post('/v1/templates').send(body)).status).to.equal(401);
      const { api_key: key } = (await post(alice, '/v1/api-keys/', { permissions: ['read'] })).body;
      expect((await app.http.post('/v1/templates').set('X-API-Key', key).send(body)).status).to.equal(403);
      expect((await post(alice, '/v1/templates', { x: 'x'.repeat(2 ** 20) })).status).to.equal(413);
      expect((await app.http.post('/v1/templates').set(apiKey(alice)).type('text').send('x')).status).to.equal(415);
    });

    it('deleting the snapshot deletes its templates; each change is an event', async () => {
      await publish();
      await app.http.delete(`/v1/snapshots/${snapshotId}`).set(apiKey(alice));
      expect((await app.http.get(`/v1/templates/${slug}`)).body).to.deep.equal({ detail: 'Template not found' });
      const { events } = (await app.http.get('/v1/audit/events?kind=template.*').set(apiKey(alice))).body;
      const details = { version: '1.0.0', snapshot_id: snapshotId };
      expect(
        events.map((event: { kind: string; subject: string; details: object }) => [
          event.kind,
          event.subject,
          event.details,
        ]),
      ).to.deep.equal([
        ['template.deleted', slug, details],
        ['template.published', slug, details],
      ]);
    });
  });

  describe('reading', () => {
    it('200: pages by slug; 422: a bad limit or cursor', async () => {
      for (const n of [1, 2, 3]) await publish({ slug: `${slug}-${n}` });
      const page = async (query: string) => {
        const { body, headers } = await app.http.get(`/v1/templates?${query}`);
        return [body.templates.map((each: { slug: string }) => each.slug), headers['x-next-cursor']];
      };
      expect(await page(`limit=2&cursor=${slug}-0`)).to.deep.equal([[`${slug}-1`, `${slug}-2`], `${slug}-2`]);
      const [rest] = await page(`cursor=${slug}-2`);
      expect(rest[0]).to.equal(`${slug}-3`);
      for (const query of ['limit=0', 'limit=1001', 'cursor=%20']) {
        expect((await app.http.get(`/v1/templates?${query}`)).status, query).to.equal(422);
      }
    });

    it('404: an unknown template', async () => {
      const { status, body } = await app.http.get('/v1/templates/unknown');
      expect([status, body]).to.deep.equal([404, { detail: 'Template not found' }]);
    });
  });

  describe('runs', () => {
    it('201: starts a devbox with the size of the template, also for another user', async () => {
      await publish();
      for (const caller of [alice, bob]) {
        const { status, body } = await run({ vm_lifetime: 600, auto_suspend: true, name: 'box' }, caller);
        expect(status).to.equal(201);
        const { vm_id: id } = body;
        const vm = (await app.http.get(`/v1/vms/${id}`).set(apiKey(caller))).body;
        const { session_id, expires_at } = vm;
        const expected = { run_id: id, vm_id: id, session_id, expires_at, status: 'active', terminal, app: null };
        expect(body).to.deep.equal({ ...expected, devbox_name: 'box' });
        expect(Date.parse(expires_at)).to.equal(startTime + 600_000);
        expect(vm).to.include({ devbox_name: 'box', devbox_template_slug: slug, auto_suspend: true });
        expect(vm).to.include({ memory_mb: 1024, vcpu_count: 4 });
      }
    });

    it('201: without a body it lives for 300 seconds and has no name; `max` is a day', async () => {
      await publish();
      const { body } = await run();
      expect([body.devbox_name, Date.parse(body.expires_at)]).to.deep.equal([null, startTime + 300_000]);
      const vm = (await app.http.get(`/v1/vms/${body.vm_id}`).set(apiKey(alice))).body;
      expect(vm).to.include({ devbox_name: null, devbox_template_slug: slug, auto_suspend: false });
      const longest = (await run({ vm_lifetime: 'max' })).body;
      expect(Date.parse(longest.expires_at)).to.equal(startTime + 86_400_000);
    });

    it('201: the same Idempotency-Key starts one sandbox; 409: another body', async () => {
      await publish();
      const keyed = (body: object) => run(body).set('Idempotency-Key', 'k');
      const first = (await keyed({ name: 'a' })).body;
      expect((await keyed({ name: 'a' })).body).to.deep.equal(first);
      expect((await keyed({ name: 'b' })).status).to.equal(409);
    });

    it("403: what is not offered and an unknown template, because InstaVM's command repeats a 5xx", async () => {
      await publish();
      for (const [body, name] of [
        [{ vault_ids: ['v'] }, 'vault_ids'],
        [{ auto_resume: true }, 'auto_resume'],
      ] as const) {
        const { status, body: answer } = await run(body);
        expect(status).to.equal(403);
        expect(answer.detail).to.match(new RegExp(`^${name} is not offered: Sandpit `));
      }
      const { status, body } = await post(alice, '/v1/templates/unknown/runs', {});
      const detail = "There is no template 'unknown': list them with GET /v1/templates";
      expect([status, body]).to.deep.equal([403, { detail }]);
      expect((await app.http.get('/v1/vms').set(apiKey(alice))).body).to.deep.equal([]);
    });

    it('422: a lifetime that is too short or too long; 401, 413, 415', async () => {
      await publish();
      for (const body of [{ vm_lifetime: 19 }, { vm_lifetime: 86_401 }, { vm_lifetime: 'long' }, { name: '' }]) {
        expect((await run(body)).status, JSON.stringify(body)).to.equal(422);
      }
      const path = `/v1/templates/${slug}/runs`;
      expect((await app.http.post(path).send({})).status).to.equal(401);
      expect((await run({ name: 'x'.repeat(2 ** 20) })).status).to.equal(413);
      expect((await app.http.post(path).set(apiKey(alice)).type('text').send('x')).status).to.equal(415);
    });
  });
});
