import { expect } from 'chai';
import { idsOf, timeAt, unknown, useE2b } from '../helpers/clients/e2b-client.ts';
import { clientOf } from '../helpers/server.ts';

describe("forking E2B's sandboxes", () => {
  const { app, alice, e2b } = useE2b();

  const fork = (id: string, body?: object) => e2b.post(`/sandboxes/${id}/fork`, body);

  it('201: starts a copy for 15 seconds with all its settings, the environment included', async () => {
    const given = {
      templateID: 'base:v1',
      metadata: { a: '1', ...JSON.parse('{"__proto__":"p"}') },
      autoPause: true,
      envVars: { TOKEN: 'hush-hush' },
      allow_internet_access: false,
      autoResume: { enabled: true },
      network: { denyOut: ['0.0.0.0/0'] },
      volumeMounts: [],
    };
    const id = await e2b.create(given);
    app.clock.now += 10_000;
    for (const body of [undefined, {}]) {
      const { status, body: results, text } = await fork(id, body);
      const [{ sandbox }] = results;
      const started = {
        templateID: 'base:v1',
        alias: 'base',
        clientID: '6532622b',
        envdVersion: '0.6.4',
        domain: 'sandpit.invalid',
      };
      expect([status, results]).to.deep.equal([201, [{ sandbox: { ...started, sandboxID: sandbox.sandboxID } }]]);
      expect(text + app.log()).not.to.match(/TOKEN|hush-hush/);
      const expected = {
        ...(await e2b.read(id)),
        sandboxID: sandbox.sandboxID,
        startedAt: timeAt(10),
        endAt: timeAt(25),
      };
      expect(await e2b.read(sandbox.sandboxID)).to.deep.equal(expected);
    }
    const envs = app.server.context.store.sqlite.prepare('select env from sandboxes where owner_id = ?').pluck();
    expect(envs.all(alice.id)).to.deep.equal(Array(3).fill('{"TOKEN":"hush-hush"}'));
    expect(await e2b.listed('metadata=__proto__%3Dp%26a%3D1')).to.have.length(3);
  });

  it('201: starts a hundred copies of an InstaVM sandbox, each found by the filter', async () => {
    const native = clientOf(app, alice);
    const { vm_id } = (await native.create({ metadata: { deep: { a: [1] } }, memory_mb: 1024, vcpu_count: 4 })).body;
    const { status, body } = await fork(vm_id, { count: 100, timeout: 86_400 });
    const ids = idsOf(body.map(({ sandbox }: { sandbox: { sandboxID: string } }) => sandbox));
    expect([status, new Set(ids).size]).to.deep.equal([201, 100]);
    expect(await native.matching({ deep: { a: [1] } })).to.equal(100 /* the list's limit; there are 101 */);
    expect(await e2b.read(ids[99] as string)).to.include({ memoryMB: 1024, cpuCount: 4, endAt: timeAt(86_400) });
  });

  it('400: an invalid count or timeout; 404: an ended sandbox; 409: a paused one', async () => {
    const id = await e2b.create({ timeout: 20 });
    for (const body of [{ count: 0 }, { count: 101 }, { count: 1.5 }, { timeout: 86_401 }, { timeout: -1 }]) {
      expect((await fork(id, body)).status).to.equal(400);
    }
    expect((await fork(id, { timeout: 0 })).body).to.deep.equal({
      code: 400,
      message: 'validation error: body.timeout: Input should be greater than or equal to 1',
    });
    expect(await e2b.listed()).to.deep.equal([id]);
    await e2b.does(id, 'pause');
    const message = `Sandbox '${id}' is paused and cannot be forked; resume it first`;
    const paused = await fork(id);
    expect([paused.status, paused.body]).to.deep.equal([409, { code: 409, message }]);
    await e2b.does(id, 'resume', { timeout: 20 });
    app.clock.now += 20_000;
    expect((await fork(id)).body).to.deep.equal(unknown(id));
    expect((await e2b.post(`/sandboxes/${id}/snapshots`)).body).to.deep.equal(unknown(id));
  });
});
