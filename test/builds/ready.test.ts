import { expect } from 'chai';
import { maxLayers, putLayer, useLayer } from '../../db/builds/layers.ts';
import { findOrigin } from '../../db/machines/rows.ts';
import { inTransaction } from '../../db/store.ts';
import { apiKey, itHere } from '../helpers/server.ts';
import { until } from '../helpers/until.ts';
import { type Builds, setup, startBuilds } from './setup.ts';

describe('builds of templates, ready', () => {
  let one = {} as Builds;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    one = await startBuilds();
  });

  const get = async (path: string) => (await one.e2b.get(path)).body;
  const build = async (name: string, more: object = {}) => {
    const requested = await one.request(name, more);
    await one.start(requested);
    return requested;
  };
  /** Returns the images of the machines so far. */
  const images = () => one.driver.specs.map(({ image }) => image);

  itHere('are templates: sandboxes start from them by name, tag and id, with their size and setup', async () => {
    const { app, e2b, finish, statusOf, alice } = one;
    const requested = await build('mine', { tags: ['v1', 'stable'], cpuCount: 4, memoryMB: 1024 });
    expect((await e2b.get('/templates/aliases/mine:v1')).status).to.equal(404);
    const planned = await get(`/templates/${requested.templateID}`);
    expect(planned).to.deep.include({ buildStatus: 'building', buildCount: 0, names: [`${alice.name}/mine`] });
    expect(await get('/templates')).to.deep.equal([]);
    expect(await finish(requested, 'first')).to.equal(true);
    expect((await statusOf(requested)).body).to.include({ status: 'ready' });
    const [listed] = await get('/templates');
    const { templateID, buildID } = requested;
    expect(listed).to.deep.include({ templateID, buildID, buildStatus: 'ready', buildCount: 1, cpuCount: 4 });
    for (const name of ['mine:v1', 'MINE:stable', `${alice.name}/mine:v1`, templateID]) {
      const id = await e2b.create({ templateID: name });
      expect(await e2b.read(id), name).to.include({ cpuCount: 4, memoryMB: 1024 });
      expect((await findOrigin(app.server.context.store.db, id))?.setup).to.deep.equal(setup);
    }
    expect(new Set(images())).to.deep.equal(new Set(['first']));
    const tags = (await get(`/templates/${templateID}/tags`)).map(({ tag, buildID: id }: never) => [tag, id]);
    expect(tags).to.deep.equal([
      ['stable', buildID],
      ['v1', buildID],
    ]);
    // A copy of such a sandbox lays down the same.
    const [copied] = await get('/v2/sandboxes');
    await e2b.post(`/sandboxes/${copied.sandboxID}/snapshots`, { name: 'copy' });
    const copy = await e2b.create({ templateID: 'copy' });
    const [{ sandbox }] = (await e2b.post(`/sandboxes/${copy}/fork`, { count: 1 })).body;
    expect((await findOrigin(app.server.context.store.db, sandbox.sandboxID))?.setup).to.deep.equal(setup);
  });

  itHere('replace the template of their name at once when they are ready; sandboxes go on', async () => {
    const { driver, e2b, app, finish, fail } = one;
    const first = await build('mine');
    await finish(first, 'first');
    const before = await e2b.create({ templateID: 'mine' });
    await e2b.post('/templates/tags', { target: 'mine', tags: ['old'] });
    app.clock.now += 1000;
    const failed = await build('mine');
    await fail(failed);
    app.clock.now += 1000;
    const second = await build('mine');
    expect([failed.templateID, second.templateID]).to.deep.equal([first.templateID, first.templateID]);
    await e2b.create({ templateID: 'mine' });
    await finish(second, 'second');
    await e2b.create({ templateID: 'mine' });
    await e2b.create({ templateID: 'mine:old' });
    expect(images()).to.deep.equal(['first', 'first', 'second', 'first']);
    expect(await e2b.read(before)).to.include({ state: 'running' });
    const { buildCount, builds } = await get('/templates/mine');
    expect(buildCount).to.equal(2);
    expect(builds.map(({ buildID, status }: never) => [buildID, status])).to.deep.equal([
      [second.buildID, 'ready'],
      [failed.buildID, 'error'],
      [first.buildID, 'ready'],
    ]);
    const page = await e2b.get('/templates/mine?limit=2');
    const rest = await e2b.get(`/templates/mine?limit=2&nextToken=${page.headers['x-next-token']}`);
    expect([...page.body.builds, ...rest.body.builds]).to.deep.equal(builds);
    expect(rest.headers).not.to.have.property('x-next-token');
    await e2b.remove('/templates/mine:old');
    one.app.server.context.machines?.collectSnapshots();
    await until('removal', () => true);
    expect(driver.images.has('second')).to.equal(true);
  });

  itHere('a build that was asked for earlier does not replace a later one', async () => {
    const { e2b, finish, statusOf } = one;
    const [early, late] = [await build('mine'), await build('mine')];
    expect([await finish(late, 'late'), await finish(early, 'early')]).to.deep.equal([true, false]);
    const { status, reason } = (await statusOf(early)).body as { status?: string; reason?: object };
    expect([status, reason]).to.deep.equal([
      'error',
      { message: 'A build of the same name that was asked for later is ready already', logEntries: [] },
    ]);
    const [v1, v2] = [await build('x:v1', { tags: ['stable'] }), await build('x:v2', { tags: ['stable'] })];
    await finish(v2, 'v2');
    await finish(v1, 'v1');
    await e2b.create({ templateID: 'x:stable' });
    await e2b.create({ templateID: 'x:v1' });
    expect(images()).to.deep.equal(['v2', 'v1']);
  });

  itHere('a name that a tag has taken from its template gets a new one; the other stays', async () => {
    const { e2b, finish } = one;
    const [a, b] = [await build('a'), await build('b')];
    await finish(a, 'a');
    await finish(b, 'b');
    const next = await build('a');
    await e2b.post('/templates/tags', { target: 'b', tags: ['x'] });
    await e2b.remove('/templates/a');
    // The deleted template took its build with it.
    expect(await finish(next)).to.equal(false);
    const again = await build('b:x');
    await finish(again, 'x');
    await e2b.create({ templateID: 'b' });
    await e2b.create({ templateID: 'b:x' });
    expect(images()).to.deep.equal(['b', 'x']);
    expect((await get('/templates')).length).to.equal(2);
  });

  itHere('are deleted with their builds, layers and files; builds under way are given up', async () => {
    const { app, e2b, vms, driver, request, finish, cancelled, alice } = one;
    const { store, now } = app.server.context;
    const done = await build('mine');
    await finish(done, 'kept');
    const held = { ref: 'layer', driver: 'process', allowsSudo: false, runtime: null, hasMemory: false, sizeBytes: 1 };
    driver.images.set('layer', new Set());
    await inTransaction(store.db, (trx) =>
      putLayer(trx, now(), alice.id, { key: 'k', templateId: done.templateID, held, setup }),
    );
    const running = await build('mine');
    const bob = await app.addUser('bob');
    expect((await app.http.delete(`/templates/${done.templateID}`).set(apiKey(bob))).status).to.equal(404);
    expect((await e2b.remove('/templates/mine')).status).to.equal(204);
    expect(cancelled).to.deep.equal([running.buildID]);
    await until('removal', () => driver.images.size === 0);
    for (const table of ['template_builds', 'template_build_logs', 'template_layers', 'machine_snapshots']) {
      expect(store.sqlite.prepare(`select count(*) from ${table}`).pluck().get(), table).to.equal(0);
    }
    const planned = await request('planned');
    expect((await vms('delete', `/v1/snapshots/${planned.templateID}`)).status).to.equal(404);
    expect((await get('/templates/planned')).templateID).to.equal(planned.templateID);
    expect((await e2b.remove('/templates/planned')).status).to.equal(204);
    expect((await e2b.get('/templates/planned')).status).to.equal(404);
    expect((await e2b.remove('/templates/planned')).status).to.equal(404);
  });

  itHere('InstaVM’s clients see them as snapshots', async () => {
    const { vms, finish } = one;
    const requested = await build('mine');
    await finish(requested, 'first');
    const { body } = await vms('get', `/v1/snapshots/${requested.templateID}`);
    expect(body).to.include({ name: 'mine', vm_id: null, size_bytes: 1 });
    expect((await vms('post', '/v1/vms', { snapshot_id: requested.templateID })).status).to.equal(201);
  });

  itHere('layers are each owner’s own, found by their key, and the least used give way', async () => {
    const { app, alice } = one;
    const bob = await app.addUser('bob');
    const { db } = app.server.context.store;
    const held = { ref: 'l', driver: 'process', allowsSudo: false, runtime: null, hasMemory: false, sizeBytes: 1 };
    const layer = (key: string) => ({ key, templateId: 't', held, setup });
    const use = (ownerId: number, key: string, at: number) =>
      inTransaction(db, (trx) => useLayer(trx, at, ownerId, { key, templateId: 't' }));
    await inTransaction(db, async (trx) => {
      for (let n = 0; n < maxLayers; n++) await putLayer(trx, n, alice.id, layer(`k${n}`));
    });
    expect(await use(alice.id, 'k0', 1_000)).to.deep.equal({ ref: 'l', driver: 'process', setup });
    expect(await use(bob.id, 'k0', 1_000)).to.equal(null);
    await inTransaction(db, (trx) => putLayer(trx, 2_000, alice.id, layer('new')));
    expect([await use(alice.id, 'k1', 3_000), (await use(alice.id, 'k0', 3_000))?.ref]).to.deep.equal([null, 'l']);
  });
});
