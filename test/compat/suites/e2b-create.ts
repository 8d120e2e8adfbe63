import { expect } from 'chai';
import { eachSdk, rejection } from '../sdk.ts';

const day = 86_400_000;

describe("compatibility with E2B's SDK: creating", () => {
  const { works, records } = eachSdk();

  works('create', async ({ Sandbox, start }) => {
    const sandbox = await Sandbox.create();
    expect(sandbox.sandboxId).to.match(/^i[a-z0-9]{20}$/);
    const { templateId, state, metadata, startedAt, endAt, cpuCount, memoryMB } = await sandbox.getInfo();
    expect({ templateId, state, metadata }).to.deep.equal({ templateId: 'base', state: 'running', metadata: {} });
    expect({ cpuCount, memoryMB }).to.deep.equal({ cpuCount: 2, memoryMB: 512 });
    expect(startedAt).to.deep.equal(new Date(start));
    expect(endAt).to.deep.equal(new Date(start + 300_000));
  });

  works('create: template', async ({ Sandbox }) => {
    const sandbox = await Sandbox.create('python-3');
    expect((await sandbox.getInfo()).templateId).to.equal('python-3');
  });

  records('create: metadata, envs', async ({ Sandbox, app }) => {
    const metadata = { user: 'x', 'a b': 'c&d=é', empty: '' };
    const sandbox = await Sandbox.create({ metadata, envs: { TOKEN: 'a=b', LANG: 'é' } });
    expect((await sandbox.getInfo()).metadata).to.deep.equal(metadata);
    const { db } = app.server.context.store;
    const { env } = await db
      .selectFrom('sandboxes')
      .select('env')
      .where('id', '=', sandbox.sandboxId)
      .executeTakeFirstOrThrow();
    expect(JSON.parse(env ?? 'null')).to.deep.equal({ TOKEN: 'a=b', LANG: 'é' });
  });

  works('create: timeoutMs', async ({ Sandbox, sdk, start }) => {
    const short = await Sandbox.create({ timeoutMs: 59_001 });
    expect((await short.getInfo()).endAt).to.deep.equal(new Date(start + 60_000));
    const long = await Sandbox.create({ timeoutMs: day });
    expect((await long.getInfo()).endAt).to.deep.equal(new Date(start + day));
    const error = await rejection(Sandbox.create({ timeoutMs: day + 1000 }));
    expect(error).to.be.instanceOf(sdk.SandboxError);
    expect(error.message).to.match(/^400: .*86400/);
  });

  records('create: secure', async ({ Sandbox }) => {
    for (const secure of [true, false]) {
      const sandbox = await Sandbox.create({ secure });
      expect((await sandbox.getInfo()).state).to.equal('running');
    }
  });

  records('create: allowInternetAccess', async ({ Sandbox }) => {
    for (const allowInternetAccess of [true, false]) {
      const sandbox = await Sandbox.create({ allowInternetAccess });
      expect((await sandbox.getInfo()).allowInternetAccess).to.equal(allowInternetAccess);
    }
  });

  records('create: network', async ({ Sandbox }) => {
    const network = {
      allowOut: ['1.1.1.1', '8.8.8.0/24'],
      denyOut: ['0.0.0.0/0'],
      allowPublicTraffic: false,
      maskRequestHost: 'example.com:80',
      rules: { 'example.com': [{ transform: { headers: { 'X-Key': 'secret' } } }] },
    };
    const sandbox = await Sandbox.create({ network });
    expect((await sandbox.getInfo()).network).to.deep.include(network);
  });

  records(
    'create: network.httpsPorts',
    async ({ Sandbox }) => {
      const sandbox = await Sandbox.create({ network: { httpsPorts: [8443] } });
      expect((await sandbox.getInfo()).network?.httpsPorts).to.deep.equal([8443]);
    },
    { since: '2.50.0' },
  );

  works('create: lifecycle', async ({ Sandbox }) => {
    const lifecycleOf = async (lifecycle: { onTimeout: 'pause' | 'kill'; autoResume?: boolean }) =>
      (await (await Sandbox.create({ lifecycle })).getInfo()).lifecycle;
    expect(await lifecycleOf({ onTimeout: 'kill' })).to.deep.equal({ onTimeout: 'kill', autoResume: false });
    for (const autoResume of [true, false]) {
      const paused = { onTimeout: 'pause', autoResume } as const;
      expect(await lifecycleOf(paused)).to.deep.equal(paused);
    }
  });

  works('AuthenticationError', async ({ as, sdk }) => {
    const Sandbox = as(`e2b_${'0'.repeat(40)}`);
    expect(await rejection(Sandbox.create())).to.be.instanceOf(sdk.AuthenticationError);
    expect(await rejection(Sandbox.list().nextItems())).to.be.instanceOf(sdk.AuthenticationError);
    expect(await rejection(Sandbox.getInfo('iunknown'))).to.be.instanceOf(sdk.AuthenticationError);
  });
});
