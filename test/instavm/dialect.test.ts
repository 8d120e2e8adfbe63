import { expect } from 'chai';
import { newSandboxId } from '../../db/sandboxes/insert.ts';
import { sessionIdOf } from '../../db/sessions/session-id.ts';
import { type Instavm, startInstavm } from '../helpers/clients/instavm-client.ts';
import { operations } from '../helpers/contract.ts';
import { withWriteLock } from '../helpers/processes/busy.ts';
import { apiKey } from '../helpers/server.ts';

describe("InstaVM's dialect", () => {
  let { app, alice, bob, get, post, remove } = {} as Instavm;
  beforeEach(async () => {
    ({ app, alice, bob, get, post, remove } = await startInstavm());
  });

  describe('/v1/vms', () => {
    it('GET lists active sandboxes, newest first; all of them on request', async () => {
      const ids: string[] = [];
      for (let second = 0; second < 4; second++) {
        ids.push((await post('/v1/vms', { vm_lifetime_seconds: second === 0 ? 20 : 300 })).body.vm_id);
        app.clock.now += 1000;
      }
      await post(`/v1/vms/${ids[1]}/suspend`);
      await remove(`/v1/vms/${ids[2]}`);
      await app.insert(bob);
      app.clock.now += 20_000;
      const listed = async (query = '') => (await get(`/v1/vms${query}`)).body.map((vm: { vm_id: string }) => vm.vm_id);
      expect(await listed()).to.deep.equal([ids[3]]);
      for (const query of ['?all', '?all=', '?all=true', '?all=1']) {
        expect(await listed(query), query).to.deep.equal([...ids].reverse());
      }
      expect(await listed('?all=false')).to.deep.equal([ids[3]]);
      expect(await listed('?all&limit=1')).to.deep.equal([ids[3]]);
      expect((await get('/v1/vms?all=perhaps')).body.detail[0]).to.include({ type: 'literal_error' });
      expect((await get('/v1/vms?limit=1001')).status).to.equal(422);
    });

    it('GET with a slash lists sandboxes of every status, page by page', async () => {
      const ids: string[] = [];
      for (let n = 0; n < 5; n++) {
        ids.push((await post('/v1/vms')).body.vm_id);
        app.clock.now += n % 2;
      }
      await remove(`/v1/vms/${ids[0]}`);
      await post(`/v1/vms/${ids[1]}/suspend`);
      const whole = await get('/v1/vms/');
      const listed = whole.body.map((vm: { vm_id: string }) => vm.vm_id);
      expect([...listed].sort()).to.deep.equal([...ids].sort());
      expect(whole.headers).not.to.have.property('x-next-cursor');
      for (const path of ['/v1/vms/?', '/v1/vms?all&']) {
        const paged: string[] = [];
        for (let cursor: string | undefined = ''; cursor !== undefined; ) {
          const page = await get(`${path}limit=2${cursor && `&cursor=${cursor}`}`);
          paged.push(...page.body.map((vm: { vm_id: string }) => vm.vm_id));
          cursor = page.headers['x-next-cursor'];
        }
        expect(paged, path).to.deep.equal(listed);
      }
      expect((await get('/v1/vms/?cursor=nonsense')).status).to.equal(422);
      expect((await get('/v1/vms/?limit=0')).status).to.equal(422);
      expect((await app.http.get('/v1/vms/')).status).to.equal(401);
      expect((await get('/v1/vms//')).status).to.equal(404);
      expect((await post('/v1/vms/')).status).to.equal(405);
    });

    it('suspend and resume: does not expire while suspended, and starts a new run', async () => {
      const { vm_id } = (await post('/v1/vms', { metadata: { n: 1.5 } })).body;
      expect((await post(`/v1/vms/${vm_id}/suspend`)).body).to.include({ status: 'suspended', end_at: null });
      expect((await post(`/v1/vms/${vm_id}/suspend`)).status).to.equal(409);
      app.clock.now += 3_600_000;
      const patch = app.http.patch(`/v1/vms/${vm_id}`).set(apiKey(alice));
      expect((await patch.send({ vm_lifetime_seconds: 60 })).body.detail).to.equal(
        'Sandbox is paused: resume it first',
      );
      const resumed = await post(`/v1/vms/${vm_id}/resume`, { vm_lifetime_seconds: 60 });
      expect(resumed.body).to.include({
        status: 'active',
        started_at: '2025-01-18T11:30:00.000Z',
        end_at: '2025-01-18T11:31:00.000Z',
      });
      expect((await post(`/v1/vms/${vm_id}/resume`)).status).to.equal(409);
      const { session_id } = resumed.body;
      expect((await get(`/v1/sessions/status/${session_id}`)).body.created_at).to.equal('2025-01-18T10:30:00.000Z');
    });

    it('clone: starts another sandbox with the same settings', async () => {
      const body = { metadata: { a: { b: [1] } }, memory_mb: 256, vcpu_count: 1, snapshot_id: 'base', env: { S: 'x' } };
      const { vm_id } = (await post('/v1/vms', body)).body;
      const clone = await post(`/v1/vms/${vm_id}/clone`, { vm_lifetime_seconds: 20 });
      expect(clone.status).to.equal(201);
      expect(clone.headers.location).to.equal(`/v1/vms/${clone.body.vm_id}`);
      expect(clone.body).to.deep.include({
        metadata: { a: { b: [1] } },
        memory_mb: 256,
        vcpu_count: 1,
        template_id: 'base',
      });
      expect(clone.body.vm_id).not.to.equal(vm_id);
      const env = app.server.context.store.sqlite.prepare('select env from sandboxes').pluck().all();
      expect(env).to.deep.equal(['{"S":"x"}', '{"S":"x"}']);
      await post(`/v1/vms/${vm_id}/suspend`);
      expect((await post(`/v1/vms/${vm_id}/clone`)).status).to.equal(409);
    });

    it('snapshot: creates a record from which a sandbox of the same size can start', async () => {
      const { vm_id } = (await post('/v1/vms', { metadata: { a: 1 }, memory_mb: 2048, vcpu_count: 8 })).body;
      const taken = await post(`/v1/vms/${vm_id}/snapshot`, { name: 'Mine' });
      expect(taken.status).to.equal(201);
      expect(taken.body).to.deep.include({ name: 'Mine', vm_id, status: 'ready', metadata: { a: 1 }, oci_image: null });
      expect((await post(`/v1/vms/${vm_id}/snapshot`, { name: 'Mine' })).status).to.equal(409);
      for (const snapshot_id of ['Mine', taken.body.id]) {
        const { body } = await post('/v1/vms', { snapshot_id, vcpu_count: 1 });
        expect(body).to.include({ template_id: snapshot_id, memory_mb: 2048, vcpu_count: 1 });
      }
      expect((await post('/v1/vms', { snapshot_id: 'Mine' }, bob)).body.memory_mb).to.equal(512);
      await remove(`/v1/vms/${vm_id}`);
      expect((await post(`/v1/vms/${vm_id}/snapshot`)).status).to.equal(409);
    });

    for (const action of ['suspend', 'resume', 'clone', 'snapshot']) {
      it(`POST ${action}: 404 for another owner's sandbox, 409 for an ended one`, async () => {
        const { vm_id } = (await post('/v1/vms')).body;
        const path = `/v1/vms/${vm_id}/${action}`;
        expect((await post(path, {}, bob)).status).to.equal(404);
        app.clock.now += 300_000;
        expect((await post(path)).body).to.deep.equal({ detail: 'Sandbox has ended' });
      });
    }
  });

  describe('/v1/snapshots', () => {
    const image = { oci_image: 'docker.io/library/debian:12', name: 'deb', vcpu_count: 3, memory_mb: 128 };

    it('creates a snapshot from an image, reads, lists and deletes it', async () => {
      const made = await post('/v1/snapshots', { ...image, build_args: {} });
      expect(made.status).to.equal(201);
      expect(made.body).to.deep.include({
        ...image,
        type: 'user',
        snapshot_type: 'user',
        is_public: false,
        vm_id: null,
        metadata: {},
        status: 'ready',
      });
      app.clock.now += 1;
      const { id } = (await post('/v1/snapshots', { oci_image: 'x' })).body;
      expect((await get('/v1/snapshots')).body.map((s: { id: string }) => s.id)).to.deep.equal([id, made.body.id]);
      expect((await get('/v1/snapshots?limit=1')).body).to.have.length(1);
      expect((await get('/v1/snapshots?type=user')).body).to.have.length(2);
      expect((await get('/v1/snapshots?type=system')).body).to.deep.equal([]);
      for (const name of [made.body.id, 'deb']) {
        expect((await get(`/v1/snapshots/${name}`)).body).to.deep.equal(made.body);
        expect((await get(`/v1/snapshots/${name}`, bob)).status).to.equal(404);
        expect((await remove(`/v1/snapshots/${name}`, bob)).status).to.equal(404);
      }
      expect((await get('/v1/snapshots', bob)).body).to.deep.equal([]);
      expect((await remove('/v1/snapshots/deb')).body).to.deep.equal(made.body);
      expect((await remove('/v1/snapshots/deb')).status).to.equal(404);
    });

    it('creates system snapshots, and lists either type or both', async () => {
      const system = await post('/v1/snapshots', { ...image, type: 'system' });
      expect([system.status, system.body.type, system.body.snapshot_type]).to.deep.equal([201, 'system', 'system']);
      app.clock.now += 1;
      const { vm_id } = (await post('/v1/vms')).body;
      const taken = (await post(`/v1/vms/${vm_id}/snapshot`, { name: 'taken' })).body;
      expect(taken.type).to.equal('user');
      expect((await get(`/v1/snapshots/${system.body.id}`)).body).to.deep.equal(system.body);
      expect((await get('/v1/snapshots?type=system')).body).to.deep.equal([system.body]);
      expect((await get('/v1/snapshots?type=user')).body).to.deep.equal([taken]);
      expect((await get('/v1/snapshots')).body).to.deep.equal([taken, system.body]);
      expect((await get('/v1/snapshots?type=nobody')).status).to.equal(422);
    });

    it('409 for a name that is taken, 422 for values out of bounds', async () => {
      await post('/v1/snapshots', image);
      expect((await post('/v1/snapshots', image)).body).to.deep.equal({
        detail: 'a snapshot named deb exists already',
      });
      expect((await post('/v1/snapshots', image, bob)).status).to.equal(201);
      const likeAnId = { ...image, name: `s${'a'.repeat(20)}` };
      for (const wrong of [
        {},
        likeAnId,
        { oci_image: '' },
        { ...image, vcpu_count: 9 },
        { ...image, type: 'nobody' },
      ]) {
        expect((await post('/v1/snapshots', wrong)).status).to.equal(422);
      }
      expect((await get('/v1/snapshots?limit=0')).status).to.equal(422);
    });
  });

  describe('/v1/api-keys/', () => {
    it('creates a key, shows it once, describes and revokes it', async () => {
      const made = await post('/v1/api-keys/', { description: 'laptop' });
      expect(made.status).to.equal(201);
      const { api_key: key, ...shown } = made.body;
      expect(shown).to.include({ description: 'laptop', prefix: key.slice(0, 16), revoked_at: null });
      const path = `/v1/api-keys/${shown.id}`;
      expect((await get(path)).body).to.deep.equal(shown);
      expect((await get('/v1/vms', { ...alice, key })).status).to.equal(200);
      const renamed = await app.http.patch(path).set(apiKey(alice)).send({ description: 'desk' });
      expect(renamed.body).to.deep.equal({ ...shown, description: 'desk' });
      expect((await get('/v1/api-keys/')).body.map((k: { description: string }) => k.description)).to.deep.equal([
        'test',
        'desk',
      ]);
      expect((await remove(path)).body.revoked_at).to.equal('2025-01-18T10:30:00.000Z');
      expect((await get('/v1/vms', { ...alice, key })).status).to.equal(401);
      expect((await get('/v1/api-keys/')).text).not.to.contain(key);
    });

    it("404 for another owner's key and for an unknown one", async () => {
      const { id } = (await post('/v1/api-keys/')).body;
      for (const [path, caller] of [
        [`/v1/api-keys/${id}`, bob],
        ['/v1/api-keys/999', alice],
        ['/v1/api-keys/1e0', alice],
      ] as const) {
        expect((await get(path, caller)).status, path).to.equal(404);
        expect((await app.http.patch(path).set(apiKey(caller)).send({ description: 'x' })).status).to.equal(404);
        expect((await remove(path, caller)).status).to.equal(404);
      }
      expect((await post('/v1/api-keys/', { description: 5 })).status).to.equal(422);
      expect((await app.http.patch(`/v1/api-keys/${id}`).set(apiKey(alice)).send({})).status).to.equal(422);
    });
  });

  describe('every operation', () => {
    const tags = ['sessions', 'vms', 'snapshots', 'api-keys', 'ssh-keys'];
    const changing = operations.filter(
      ({ operation }) => tags.includes(operation.tags[0] as string) && '503' in operation.responses,
    );
    const taking = changing.filter(({ operation }) => operation.requestBody);
    const at = (path: string) => path.replace(/\{[^}]*\}/, '1');
    const call = (method: string, path: string) =>
      app.http[method as 'post' | 'patch'](at(path)).set(apiKey(alice)).set('Content-Type', 'application/json');

    it('413, 415, 422: bodies that are too large, of another media type or not JSON', async () => {
      for (const { method, path } of taking) {
        expect((await call(method, path).send(JSON.stringify({ a: 'x'.repeat(2 ** 20) }))).status, path).to.equal(413);
        expect((await call(method, path).type('text').send('x')).status, path).to.equal(415);
        expect((await call(method, path).send('{')).body.detail[0].type, path).to.equal('json_invalid');
      }
    });

    it('503: a write while another process holds the write lock', async () => {
      const bodies: Record<string, object> = {
        create_session: { api_key: alice.key },
        kill: { session_id: sessionIdOf(newSandboxId()) },
        update_vm: {},
        create_snapshot: { oci_image: 'x' },
        update_api_key: { description: 'x' },
        add_ssh_key: { public_key: `ssh-ed25519 ${Buffer.from('\0\0\0\x0bssh-ed25519').toString('base64')}` },
      };
      await withWriteLock(app, async () => {
        const answers = changing.map(async ({ method, path, operation }) => {
          const response = await call(method, path).send(JSON.stringify(bodies[operation.operationId] ?? {}));
          expect([operation.operationId, response.status]).to.deep.equal([operation.operationId, 503]);
          expect(response.headers['retry-after']).to.equal('1');
        });
        await Promise.all(answers);
      });
    });
  });
});
