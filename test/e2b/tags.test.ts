import { expect } from 'chai';
import { timeAt, useE2b } from '../helpers/clients/e2b-client.ts';
import { apiKey, clientOf } from '../helpers/server.ts';

type Tag = { tag: string; buildID: string; createdAt: string };
type Template = { templateID: string; buildID: string; names: string[]; memoryMB: number };

describe("E2B's tags of templates", () => {
  const { app, alice, bob, e2b, bobs } = useE2b();

  /** Takes a snapshot of a sandbox of this size. */
  const take = async (name?: string, memory_mb = 512) => {
    const { vm_id } = (await clientOf(app, alice).create({ memory_mb })).body;
    return (await e2b.post(`/sandboxes/${vm_id}/snapshots`, { name })).body.snapshotID as string;
  };
  const assign = (target: string, tags: string[], caller = e2b) => caller.post('/templates/tags', { target, tags });
  const remove = (name: string, tags: string[], caller = e2b) => caller.remove('/templates/tags').send({ name, tags });
  const tagsOf = async (name: string): Promise<Tag[]> =>
    (await e2b.get(`/templates/${encodeURIComponent(name)}/tags`)).body;
  const namesOf = async (name: string) => (await tagsOf(name)).map(({ tag }) => tag);
  const templates = async (): Promise<Template[]> => (await e2b.get('/templates')).body;
  const memoryOf = async (templateID: string) => (await e2b.read(await e2b.create({ templateID }))).memoryMB;
  const unknownTemplate = (name: string) => ({ code: 404, message: `template '${name}' not found` });

  it('201: tags point to a snapshot, and a reference with a tag starts it', async () => {
    await take('n', 1024);
    const [{ buildID }] = (await templates()) as [Template];
    app.clock.now += 1000;
    const { status, body } = await assign('n:default', ['stable', 'V1.0', 'v1.0']);
    expect([status, body]).to.deep.equal([201, { buildID, tags: ['stable', 'v1.0'] }]);
    expect(await tagsOf('n')).to.deep.equal([
      { tag: 'default', buildID, createdAt: timeAt(0) },
      { tag: 'stable', buildID, createdAt: timeAt(1) },
      { tag: 'v1.0', buildID, createdAt: timeAt(1) },
    ]);
    for (const reference of ['n', 'n:stable', `${alice.name}/n:V1.0`]) {
      expect(await memoryOf(reference), reference).to.equal(1024);
    }
    expect(await memoryOf('n:other')).to.equal(512);
    expect((await e2b.get('/templates')).body[0].spawnCount).to.equal(3);
  });

  it('201: a tag moves, also when it was the name of another snapshot, which keeps its id and its other tags', async () => {
    await take('n:v1', 1024);
    await take('n:v2', 2048);
    await assign('n:v1', ['stable']);
    await assign('n:v2', ['stable', 'v1']);
    expect(await memoryOf('n:stable')).to.equal(2048);
    expect(await memoryOf('n:v1')).to.equal(2048);
    const old = (await templates()).find(({ memoryMB }) => memoryMB === 1024) as Template;
    expect(old.names).to.deep.equal([]);
    expect(await memoryOf(old.templateID)).to.equal(1024);
    await assign(`${old.templateID}:default`, ['kept']);
    expect(await namesOf(old.templateID)).to.deep.equal(['default', 'kept']);
    expect(await memoryOf(`${old.templateID}:kept`)).to.equal(1024);
    await assign('n:v2', ['live']);
    await take('n:v2', 4096);
    expect(await memoryOf('n:live'), 'what was tagged').to.equal(2048);
    expect(await memoryOf('n:v2'), 'the new snapshot').to.equal(4096);
    expect(await namesOf('n')).to.deep.equal(['live', 'stable', 'v1', 'v2']);
  });

  it('201: a new snapshot takes its name from a tag; another of the same name keeps what tags point to', async () => {
    await take('n', 1024);
    await assign('n', ['stable']);
    const before = await tagsOf('n:stable');
    await take('n', 2048);
    const [current, stable] = (await tagsOf('n')) as [Tag, Tag];
    expect(stable.buildID).to.equal(before[0]?.buildID);
    expect(current.buildID).not.to.equal(stable.buildID);
    expect([await memoryOf('n'), await memoryOf('n:stable')]).to.deep.equal([2048, 1024]);
    await take('n:stable', 4096);
    expect(await memoryOf('n:stable')).to.equal(4096);
    expect(await namesOf('n')).to.deep.equal(['default', 'stable']);
  });

  it('201: `default` can point to another snapshot', async () => {
    await take('n', 1024);
    await take('n:v2', 2048);
    await assign('n:v2', ['default']);
    expect(await memoryOf('n')).to.equal(2048);
    expect(await namesOf('n')).to.deep.equal(['default', 'v2']);
    await assign('n:v2', ['v2', 'default']);
    expect(await namesOf('n')).to.deep.equal(['default', 'v2']);
  });

  it("409: InstaVM's clients can't name a snapshot like a tag", async () => {
    await take('n');
    await assign('n', ['stable']);
    const body = { oci_image: 'alpine', name: 'n:stable' };
    const { status, body: answer } = await app.http.post('/v1/snapshots').set(apiKey(alice)).send(body);
    expect([status, answer]).to.deep.equal([409, { detail: 'a snapshot named n:stable exists already' }]);
    // These are names of InstaVM's, and no tags.
    for (const name of ['n:My tag', 'n:']) {
      const made = await app.http.post('/v1/snapshots').set(apiKey(alice)).send({ oci_image: 'alpine', name });
      expect(made.status).to.equal(201);
    }
    expect(await namesOf('n')).to.deep.equal(['default', 'stable']);
  });

  it('204: removes tags and leaves their snapshot; a tag that is missing is ignored', async () => {
    await take('n', 1024);
    await take('n:own', 2048);
    await assign('n', ['stable', 'v1']);
    const { status, text } = await remove(`${alice.name}/N`, ['Stable', 'own', 'missing']);
    expect([status, text]).to.deep.equal([204, '']);
    expect(await namesOf('n')).to.deep.equal(['default', 'v1']);
    expect((await templates()).map(({ memoryMB }) => memoryMB)).to.have.members([1024, 2048]);
    expect(await memoryOf('n:stable')).to.equal(512);
  });

  it('400: `default` can be moved and not removed', async () => {
    await take('n');
    const message = "The tag 'default' cannot be removed: delete the snapshot instead";
    const { status, body } = await remove('n', ['v1', 'Default']);
    expect([status, body]).to.deep.equal([400, { code: 400, message }]);
    expect(await namesOf('n')).to.deep.equal(['default']);
  });

  it('204: deleting a snapshot removes its tags', async () => {
    await take('n');
    await assign('n', ['stable']);
    expect((await e2b.remove(`/templates/${encodeURIComponent('n:stable')}`)).status).to.equal(204);
    expect((await e2b.get('/templates/n/tags')).body).to.deep.equal(unknownTemplate('n'));
    expect(await templates()).to.deep.equal([]);
  });

  it('200: counts tags and looks one up', async () => {
    await take('n');
    await assign('n', ['stable']);
    expect((await e2b.get('/templates/n/tags/count')).body).to.deep.equal({ total: 2 });
    const found = async (tag: string) => (await e2b.get(`/templates/n/tags/exists?tag=${tag}`)).body;
    expect(await found('STABLE')).to.deep.equal({ exists: true, normalizedTag: 'stable' });
    expect(await found('default')).to.deep.equal({ exists: true, normalizedTag: 'default' });
    expect(await found('v1')).to.deep.equal({ exists: false, normalizedTag: 'v1' });
    const bare = (await take()).replace(':default', '');
    expect((await e2b.get(`/templates/${bare}/tags/exists?tag=default`)).body.exists).to.equal(true);
  });

  it('200: lists hundreds of tags of one name, and none of a longer name', async () => {
    await take('n');
    await take('n-2');
    await take('n0');
    const tags = Array.from({ length: 300 }, (_, n) => `t${String(n).padStart(3, '0')}`);
    for (let start = 0; start < 300; start += 100) await assign('n', tags.slice(start, start + 100));
    expect(await namesOf('n')).to.deep.equal(['default', ...tags]);
    expect((await e2b.get('/templates/n/tags/count')).body.total).to.equal(301);
  });

  it('404: an unknown template, also of another user', async () => {
    await take('n');
    await assign('n', ['stable']);
    expect((await assign('nope:default', ['x'])).body).to.deep.equal(unknownTemplate('nope:default'));
    expect((await assign('n', ['x'], bobs)).body).to.deep.equal(unknownTemplate('n'));
    expect((await remove('nope', ['x'])).body).to.deep.equal(unknownTemplate('nope'));
    expect((await remove('n', ['stable'], bobs)).body).to.deep.equal(unknownTemplate('n'));
    expect((await assign(`${bob.name}/n`, ['x'])).status).to.equal(404);
    for (const path of ['tags', 'tags/count', 'tags/exists?tag=stable']) {
      expect((await e2b.get(`/templates/nope/${path}`)).body).to.deep.equal(unknownTemplate('nope'));
      expect((await bobs.get(`/templates/n/${path}`)).body).to.deep.equal(unknownTemplate('n'));
    }
    expect(await namesOf('n')).to.deep.equal(['default', 'stable']);
  });

  it('400: what is no reference and no tag; 401: without a key', async () => {
    await take('n');
    for (const [target, tags] of [
      ['a b', ['x']],
      ['n', []],
      ['n', ['a b']],
      ['n', ['a:b']],
      ['n', ['x'.repeat(129)]],
    ] as const) {
      expect((await assign(target, [...tags])).status).to.equal(400);
      expect((await remove(target, [...tags])).status).to.equal(400);
    }
    for (const path of ['tags', 'tags/count', 'tags/exists?tag=x']) {
      expect((await e2b.get(`/templates/a%20b/${path}`)).status).to.equal(400);
      expect((await app.http.get(`/templates/n/${path}`)).status).to.equal(401);
    }
    expect((await app.http.post('/templates/tags').send({})).status).to.equal(401);
    expect((await app.http.delete('/templates/tags').send({})).status).to.equal(401);
  });

  it('403, 413, 415: as for every change', async () => {
    const { api_key: key } = (
      await app.http
        .post('/v1/api-keys/')
        .set(apiKey(alice))
        .send({ permissions: ['read'] })
    ).body;
    const large = { name: 'x'.repeat(2 ** 20) };
    for (const method of ['post', 'delete'] as const) {
      const call = () => app.http[method]('/templates/tags');
      expect((await call().set('X-API-Key', key).send({})).status).to.equal(403);
      expect((await call().set(apiKey(alice)).send(large)).status).to.equal(413);
      expect((await call().set(apiKey(alice)).type('text').send('x')).status).to.equal(415);
    }
  });

  it('`tags` is never a template: 405', async () => {
    await take('tags');
    for (const method of ['get', 'patch'] as const) {
      expect((await app.http[method]('/templates/tags').set(apiKey(alice)).send({})).status).to.equal(405);
    }
  });

  it('each change is an event of the snapshot', async () => {
    await take('n');
    await assign('n', ['stable']);
    await remove('n', ['stable', 'missing']);
    await remove('n', ['missing']);
    const { events } = (await app.http.get('/v1/audit/events?kind=snapshot.*').set(apiKey(alice))).body;
    const seen = events.map(({ kind, details }: { kind: string; details: object }) => [kind, details]);
    const details = { name: 'n', template_id: null, oci_image: null };
    const changed = ['snapshot.updated', { ...details, changed: ['tags'] }];
    expect(seen).to.deep.equal([changed, changed, ['snapshot.created', details]]);
  });
});
