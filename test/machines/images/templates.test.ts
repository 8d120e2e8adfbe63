import { expect } from 'chai';
import type { Driver } from '../../../app/machines/driver.ts';
import { MachineError } from '../../../app/machines/error.ts';
import { cli } from '../../../db/events/record.ts';
import { putTemplate, removeTemplate } from '../../../db/machines/templates.ts';
import { createSnapshot } from '../../../db/snapshots/snapshots.ts';
import { inTransaction } from '../../../db/store.ts';
import { e2bOf } from '../../helpers/clients/e2b-client.ts';
import { type Caller, startApp, type TestApp, temporaryDirectory } from '../../helpers/server.ts';
import { createTestDriver } from '../process/machine.ts';
import { FakeRegistry, until } from './registry.ts';

const base = 'registry.example/base:1';

describe('templates of machines', () => {
  let registry: FakeRegistry;
  let driver: Driver;
  let app: TestApp;
  let alice: Caller;
  let e2b: ReturnType<typeof e2bOf>;
  const start = async (images: string[]) => {
    registry = new FakeRegistry();
    for (const image of images) registry.images.add(image);
    driver = registry.inFrontOf(createTestDriver(temporaryDirectory()));
    app = await startApp({ machines: 'process', image: base }, { driver });
    alice = await app.addUser('alice');
    e2b = e2bOf(app, alice);
  };

  // Machines outlive their server.
  afterEach(async () => {
    await app.close();
    await Promise.all((await driver.list()).map(({ id }) => driver.remove(id)));
  });

  const add = (name: string, image: string) =>
    inTransaction(app.server.context.store.db, (trx) =>
      putTemplate(trx, 0, { name, image, allowsSudo: false, runtime: null, setup: null }, { mayReplace: true }),
    );
  const create = async (templateID = 'base') => {
    const { status, body, headers } = await e2b.post('/v2/sandboxes', { templateID });
    return { status, message: body.message, retryAfter: headers['retry-after'] };
  };

  it('start from the image that an administrator chose; base is the setting until it is replaced', async () => {
    await start([base, 'node:24']);
    expect((await create()).status).to.equal(201);
    await add('node:24', 'node:24');
    expect((await create('Node:24')).status).to.equal(201);
    await add('base', 'node:24');
    expect((await create()).status).to.equal(201);
    const { sqlite } = app.server.context.store;
    const images = sqlite.prepare('select image from machines').pluck().all();
    expect(images).to.have.members([base, 'node:24', 'node:24']);
    await inTransaction(app.server.context.store.db, (trx) => removeTemplate(trx, 'node:24'));
    expect(await e2b.listed()).to.have.length(3);
    expect(await create('node:24')).to.deep.include({ status: 404, message: "template 'node:24' not found" });
  });

  it("404 in E2B's words for an unknown name; nothing of it stays", async () => {
    await start([base]);
    for (const name of ['nope', 'base:v2', 'bob/base']) {
      expect(await create(name)).to.deep.include({ status: 404, message: `template '${name}' not found` });
    }
    expect(await e2b.listed()).to.deep.equal([]);
  });

  it('501 for a snapshot that is a record only', async () => {
    await start([base]);
    const snapshot = { name: 'mine', type: 'user' as const, memoryMb: 512, vcpuCount: 2, ociImage: 'x' };
    const by = { ...cli, ownerId: alice.id };
    const { db } = app.server.context.store;
    await inTransaction(db, (trx) => createSnapshot(trx, 0, by, snapshot));
    // As that of a sandbox without a machine.
    await db.updateTable('snapshots').set({ oci_image: null }).execute();
    const { status, message } = await create('mine');
    expect([status, message]).to.deep.equal([
      501,
      'This snapshot is a record only: no machine can start from it. Take one of a sandbox that runs, or start from a template of GET /default-templates',
    ]);
  });

  it('503 with the progress while an image is being pulled; the create pulls nothing itself', async () => {
    await start([]);
    const pull = await registry.pullOf(0);
    expect(pull.image).to.equal(base);
    pull.progress('3 of 7 layers');
    expect(await create()).to.deep.equal({
      status: 503,
      message: `The image ${base} is being pulled: 3 of 7 layers`,
      retryAfter: '5',
    });
    expect(registry.pulls).to.have.length(1);
    pull.succeed();
    await app.logged(/pulled an image/);
    expect((await create()).status).to.equal(201);
  });

  it('503 with the reason after a pull that failed, until the image comes by other means', async () => {
    await start([]);
    (await registry.pullOf(0)).fail(new MachineError('failed', 'The registry asks for a password.'));
    await app.logged(/could not be pulled/);
    const { status, message } = await create();
    expect(status).to.equal(503);
    expect(message).to.match(
      /^The image \S+ could not be pulled: The registry asks for a password\. The next try is in \d+ s$/,
    );
    registry.images.add(base);
    expect((await create()).status).to.equal(201);
  });

  it('ask the engine for an image once, and again when a create does not find it', async () => {
    await start([base]);
    await create();
    const { asked } = registry;
    await create();
    expect(registry.asked).to.equal(asked);
    const { images } = app.server.context.machines as NonNullable<TestApp['server']['context']['machines']>;
    registry.images.delete(base);
    const { status, message } = images.missing(base);
    expect([status, message]).to.deep.equal([503, `The image ${base} is being pulled`]);
    expect((await create()).status).to.equal(503);
  });

  it('503 while the engine is away; when it is back, what it has is not pulled', async () => {
    registry = new FakeRegistry();
    await start([base]);
    registry.isAway = true;
    await add('other', 'node:24');
    expect((await create('other')).status).to.equal(503);
    registry.isAway = false;
    registry.images.add('node:24');
    expect((await create('other')).status).to.equal(201);
    expect(registry.pulls).to.deep.equal([]);
  });

  it('are found by alias, and listed as default templates', async () => {
    await start([base]);
    await add('node', 'node:24');
    const alias = async (name: string) => {
      const { status, body } = await e2b.get(`/templates/aliases/${name}`);
      return [status, body];
    };
    for (const name of ['base', 'node', 'Node:default']) {
      expect(await alias(name)).to.deep.equal([200, { templateID: name === 'base' ? name : 'node', public: true }]);
    }
    for (const name of ['desktop', 'nonexistent']) {
      expect(await alias(name)).to.deep.equal([404, { code: 404, message: `template '${name}' not found` }]);
    }
    await until(async () => registry.pulls.length > 0 || (await create('node')).status === 503);
    const { body } = await e2b.get('/default-templates');
    const shown = body.map(
      ({ templateID, names, buildStatus, isDefault, public: isPublic }: Record<string, unknown>) => ({
        templateID,
        names,
        buildStatus,
        isDefault,
        isPublic,
      }),
    );
    expect(shown).to.deep.equal([
      { templateID: 'base', names: ['base'], buildStatus: 'ready', isDefault: true, isPublic: true },
      { templateID: 'node', names: ['node'], buildStatus: 'waiting', isDefault: true, isPublic: true },
    ]);
    expect((await e2b.get('/templates')).body).to.deep.equal([]);
  });
});
