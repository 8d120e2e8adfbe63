import { expect } from 'chai';
import type { Machines } from '../../app/context.ts';
import { putTemplate } from '../../db/machines/templates.ts';
import { inTransaction } from '../../db/store.ts';
import { e2bOf } from '../helpers/clients/e2b-client.ts';
import { startApp, type TestApp } from '../helpers/server.ts';
import { describeOnEngines } from '../machines/engines/engines.ts';
import { until } from '../machines/images/registry.ts';
import { runProgram } from './machine.ts';
import { Registry } from './registry.ts';

describeOnEngines('templates whose images come from a registry', (engine) => {
  let registry: Registry;
  let app: TestApp;
  let e2b: ReturnType<typeof e2bOf>;
  beforeEach(async function () {
    // Podman wants TLS from every registry that its own files do not except.
    if (engine().engine === 'podman') this.skip();
    registry = new Registry();
    await registry.start(engine());
  });
  afterEach(async () => {
    for (const id of (await e2b?.listed()) ?? []) await machines().driver.remove(id);
    registry?.stop();
  });

  const machines = () => app.server.context.machines as Machines;
  const start = async (image: string) => {
    app = await startApp({ machines: 'docker', engine: engine().address, image });
    e2b = e2bOf(app, await app.addUser('alice'));
  };
  const create = async (templateID = 'base') => {
    const { status, body } = await e2b.post('/v2/sandboxes', { templateID, allow_internet_access: false });
    return { status, message: body.message as string, id: body.sandboxID as string };
  };

  it('are pulled at the start, say how far they are, and are told apart from those that work', async () => {
    const letGo = registry.holdLayer();
    const image = registry.referenceOf('mini:1');
    await start(image);
    await until(async () => / of 1 layers/.test((await create()).message));
    const { status, message } = await create();
    expect([status, message]).to.satisfy(
      () => status === 503 && message.startsWith(`The image ${image} is being pulled: 0 of`),
    );
    letGo();
    await app.logged(/pulled an image/);
    const made = await create();
    expect(made.status).to.equal(201);
    await app.logged(/This image has no \/bin\/bash/);
    const agent = await machines().agentOf(made.id);
    expect((await runProgram(agent, ['/bin/busybox', 'id', '-un'])).output).to.equal('user\n');
    await until(async () => (await e2b.get(`/sandboxes/${made.id}/metrics`)).body.length > 0);
    const [reading] = (await e2b.get(`/sandboxes/${made.id}/metrics`)).body;
    expect(reading.memUsed).to.be.within(1, reading.memTotal);
    expect(reading.diskUsed).to.be.within(1, reading.diskTotal);
  });

  it('are pulled again when the engine has lost them; 404 when no registry has them', async () => {
    const image = registry.referenceOf('mini:1');
    await start(image);
    await app.logged(/pulled an image/);
    await engine().ask('DELETE', `/images/${encodeURIComponent(image)}?force=1`);
    expect((await create()).status).to.equal(503);
    await until(async () => (await create()).status === 201);
    const template = {
      name: 'nope',
      image: registry.referenceOf('nope:1'),
      allowsSudo: false,
      runtime: null,
      setup: null,
    };
    await inTransaction(app.server.context.store.db, (trx) => putTemplate(trx, 0, template, { mayReplace: false }));
    await until(async () => (await create('nope')).status === 404);
    expect((await create('nope')).message).to.match(
      /^The image \S+\/nope:1 could not be pulled: no registry has the image/,
    );
  });
});
