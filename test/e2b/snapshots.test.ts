import { expect } from 'chai';
import { timeAt, useE2b } from '../helpers/clients/e2b-client.ts';
import { apiKey, clientOf } from '../helpers/server.ts';

type Info = { snapshotID: string; names: string[] };

describe("E2B's snapshots", () => {
  const { app, alice, bob, e2b, bobs } = useE2b();

  const take = (id: string, body?: object) => e2b.post(`/sandboxes/${id}/snapshots`, body);
  const snapshots = async (query = '', caller = e2b): Promise<string[]> =>
    (await caller.get(`/snapshots?${query}`)).body.map(({ snapshotID }: Info) => snapshotID);
  const templates = async (caller = e2b) => (await caller.get('/templates')).body;
  const remove = (reference: string, caller = e2b) => caller.remove(`/templates/${encodeURIComponent(reference)}`);
  const unknownTemplate = (reference: string) => ({ code: 404, message: `template '${reference}' not found` });

  describe('creating', () => {
    it('201: without a name, each call creates a snapshot named by its id', async () => {
      const id = await e2b.create();
      const taken: string[] = [];
      for (const body of [undefined, {}]) {
        const { status, body: info } = await take(id, body);
        expect(status).to.equal(201);
        expect(info.names).to.deep.equal([]);
        expect(info.snapshotID).to.match(/^s[a-z0-9]{20}:default$/);
        taken.unshift(info.snapshotID);
        app.clock.now += 1;
      }
      expect(await snapshots()).to.deep.equal(taken);
    });

    it("400: one of the file system only, in words that E2B's clients know", async () => {
      const id = await e2b.create();
      const { status, body } = await take(id, { memory: false });
      const message = 'Sandpit does not offer snapshots of the file system only: leave out `memory`, or send true';
      const expected = { code: 400, message, error_code: 'snapshot_filesystem_only_disabled' };
      expect([status, body]).to.deep.equal([400, expected]);
      expect((await take(id, { memory: 'no' })).status).to.equal(400);
      expect(await snapshots()).to.deep.equal([]);
      expect((await take(id, { memory: true })).status).to.equal(201);
    });

    it('201: completes a partial name; another tag is another snapshot', async () => {
      const id = await e2b.create();
      for (const [name, withTag] of [
        ['n', 'n:default'],
        ['N', 'n:default'],
        ['n:default', 'n:default'],
        [`${alice.name}/n`, 'n:default'],
        ['n:v1.0', 'n:v1.0'],
      ]) {
        const { status, body } = await take(id, { name });
        const info = { snapshotID: `${alice.name}/${withTag}`, names: [`${alice.name}/n`] };
        expect([status, body]).to.deep.equal([201, info]);
      }
      expect(await snapshots()).to.have.members([`${alice.name}/n:default`, `${alice.name}/n:v1.0`]);
    });

    it("201: an existing name replaces the snapshot's content and keeps its id", async () => {
      await take(await e2b.create(), { name: 'n' });
      const [before] = await templates();
      app.clock.now += 1000;
      const { vm_id } = (await clientOf(app, alice).create({ memory_mb: 1024, vcpu_count: 4 })).body;
      await take(vm_id, { name: 'n' });
      const changed = { cpuCount: 4, memoryMB: 1024, updatedAt: timeAt(1) };
      const [after] = await templates();
      expect(after).to.deep.equal({ ...before, ...changed, buildID: after.buildID });
      expect(after.buildID).not.to.equal(before.buildID);
      expect(await snapshots(`sandboxID=${vm_id}`)).to.have.length(1);
    });

    it('400: an invalid name, or a namespace of another user', async () => {
      const id = await e2b.create();
      const { body } = await take(id, { name: `${bob.name}/n` });
      const message = `The namespace of a snapshot can only be '${alice.name}'`;
      expect(body).to.deep.equal({ code: 400, message });
      for (const name of [
        '',
        'a b',
        'a/b/c',
        ':v1',
        'a:',
        '/a',
        'é',
        'x'.repeat(257),
        `s${'a'.repeat(20)}`,
        `s${'a'.repeat(20)}:v1`,
        null,
        5,
      ]) {
        expect((await take(id, { name })).status, String(name)).to.equal(400);
      }
      expect((await take(id, { name: `${alice.name}/s${'a'.repeat(20)}` })).status).to.equal(400);
      expect(await snapshots()).to.deep.equal([]);
    });

    it('201: names belong to their owner: another owner’s snapshot of that name is neither replaced nor used', async () => {
      const { vm_id } = (await clientOf(app, bob).create({ memory_mb: 2048 })).body;
      await bobs.post(`/sandboxes/${vm_id}/snapshots`, { name: 'n' });
      const his = await templates(bobs);
      for (const templateID of ['n', `${bob.name}/n`, his[0].templateID]) {
        expect(await e2b.read(await e2b.create({ templateID }))).to.include({ memoryMB: 512, templateID });
      }
      await take(await e2b.create(), { name: 'n' });
      expect(await templates(bobs)).to.deep.equal(his);
      expect(await snapshots()).to.deep.equal([`${alice.name}/n:default`]);
      expect(await snapshots(`name=${encodeURIComponent(`${bob.name}/n`)}`)).to.deep.equal([]);
      expect(await snapshots(`sandboxID=${vm_id}`)).to.deep.equal([]);
    });
  });

  describe('listing', () => {
    it('200: pages, newest first, ties by id; a token only when there are more', async () => {
      const id = await e2b.create();
      for (let n = 0; n < 7; n++) {
        await take(id);
        if (n % 3 === 2) app.clock.now += 1;
      }
      const order = (a: { id: string; at: number }, b: { id: string; at: number }) =>
        b.at - a.at || (a.id < b.id ? -1 : 1);
      const { sqlite } = app.server.context.store;
      const rows = sqlite.prepare('select id, created_at as at from snapshots where owner_id = ?').all(alice.id);
      const expected = (rows as { id: string; at: number }[]).sort(order).map((row) => `${row.id}:default`);
      for (const limit of [1, 2, 3, 6, 7, 100]) {
        const found: string[] = [];
        let token = '';
        for (let page = 0; page < Math.ceil(7 / limit); page++) {
          const { body, headers } = await e2b.get(`/snapshots?limit=${limit}${token && `&nextToken=${token}`}`);
          found.push(...body.map(({ snapshotID }: Info) => snapshotID));
          token = headers['x-next-token'] ?? '';
          expect(token !== '', `limit ${limit}, page ${page}`).to.equal(found.length < 7);
        }
        expect(found).to.deep.equal(expected);
        expect((await templates()).map((t: { templateID: string }) => `${t.templateID}:default`)).to.deep.equal(
          expected,
        );
      }
    });

    it('200: filters by sandbox (even an ended one), and by name or id, with or without a tag', async () => {
      const [one, two] = [await e2b.create(), await e2b.create()];
      const bare = (await take(one)).body.snapshotID as string;
      await take(two, { name: 'n' });
      await take(two, { name: 'n:v1' });
      await e2b.remove(`/sandboxes/${one}`);
      const { name } = alice;
      expect(await snapshots(`sandboxID=${one}`)).to.deep.equal([bare]);
      expect(await snapshots(`sandboxID=${two}`)).to.have.members([`${name}/n:default`, `${name}/n:v1`]);
      expect(await snapshots(`sandboxID=${one}&name=n`)).to.deep.equal([]);
      for (const text of [bare, bare.replace(':default', '')])
        expect(await snapshots(`name=${text}`)).to.deep.equal([bare]);
      for (const text of ['n', 'N', 'n:default', `${name}/n`]) {
        expect(await snapshots(`name=${encodeURIComponent(text)}`)).to.deep.equal([`${name}/n:default`]);
      }
      expect(await snapshots('name=n:v1')).to.deep.equal([`${name}/n:v1`]);
      expect(await snapshots('name=nope')).to.deep.equal([]);
    });

    it('200: lists InstaVM snapshots by their own id', async () => {
      const named = [null, 'n', 'n:v1', 'n:default', 'N', 'My Snap', 'x/n', `${alice.name}/n`];
      for (const name of named) {
        const made = await app.http.post('/v1/snapshots').set(apiKey(alice)).send({ oci_image: 'alpine', name });
        expect(made.status).to.equal(201);
      }
      const found = await snapshots();
      expect(new Set(found)).to.have.property('size', named.length);
      for (const id of found) expect(await snapshots(`name=${encodeURIComponent(id)}`)).to.deep.equal([id]);
    });
  });

  describe('as templates', () => {
    it('201: give a new sandbox their size and count it, by id or name', async () => {
      const { vm_id } = (await clientOf(app, alice).create({ memory_mb: 1024, vcpu_count: 4 })).body;
      const { snapshotID } = (await take(vm_id, { name: 'n' })).body;
      const [{ templateID, buildID }] = await templates();
      expect(buildID).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
      app.clock.now += 5000;
      for (const reference of [templateID, `${templateID}:default`, 'n', snapshotID]) {
        const id = await e2b.create({ templateID: reference });
        expect(await e2b.read(id)).to.include({ memoryMB: 1024, cpuCount: 4 });
      }
      expect(await templates()).to.deep.equal([
        {
          templateID,
          buildID,
          buildStatus: 'ready',
          buildCount: 1,
          public: false,
          isDefault: false,
          cpuCount: 4,
          memoryMB: 1024,
          diskSizeMB: 0,
          envdVersion: '0.6.4',
          createdBy: null,
          aliases: ['n'],
          names: [`${alice.name}/n`],
          createdAt: timeAt(0),
          updatedAt: timeAt(0),
          lastSpawnedAt: timeAt(5),
          spawnCount: 4,
        },
      ]);
    });

    it('204: are deleted by any of their names; sandboxes started from them remain', async () => {
      const id = await e2b.create();
      const started: string[] = [];
      for (const reference of ['n', 'N:default', `${alice.name}/n`, `${alice.name}/n:default`]) {
        await take(id, { name: 'n' });
        started.push(await e2b.create({ templateID: 'n' }));
        const { status, text } = await remove(reference);
        expect([status, text], reference).to.deep.equal([204, '']);
      }
      for (const tag of [':default', '']) {
        const [bare] = (await take(id)).body.snapshotID.split(':');
        expect((await remove(`${bare}${tag}`)).status).to.equal(204);
      }
      expect(await snapshots()).to.deep.equal([]);
      expect(await e2b.listed()).to.include.members(started);
    });

    it('404: deleting twice, by another owner or by another tag; 400: an invalid name', async () => {
      const { snapshotID } = (await take(await e2b.create(), { name: 'n' })).body;
      const [{ templateID }] = await templates();
      for (const [reference, caller] of [
        [snapshotID, bobs],
        ['n', bobs],
        [templateID, bobs],
        ['n:v1', e2b],
        [`${bob.name}/n`, e2b],
      ] as const) {
        const { status, body } = await remove(reference, caller);
        expect([status, body]).to.deep.equal([404, unknownTemplate(reference)]);
      }
      for (const reference of ['a b', 'a/b/c', ':v1']) expect((await remove(reference)).status).to.equal(400);
      expect((await remove(snapshotID)).status).to.equal(204);
      expect((await remove(snapshotID)).body).to.deep.equal(unknownTemplate(snapshotID));
    });
  });
});
