import { expect } from 'chai';
import { itHere } from '../helpers/server.ts';
import { FakeDriver } from './fake-driver.ts';
import { type Lifecycle, startLifecycle } from './lifecycle.ts';

const base = { templateID: 'base' };

/** Members of E2B's create that ask for what machines can't do, and members that do not. */
const refused: [object, RegExp][] = [
  [{ autoPause: true }, /^autoPause is not offered: .*cannot be paused/],
  [{ autoPause: true, autoPauseMemory: false }, /^autoPause is not offered/],
  [{ autoResume: { enabled: true } }, /^autoResume is not offered/],
  [{ network: { allowOut: ['1.1.1.1'] } }, /^network is not offered: .*allow_internet_access/],
  [{ network: { denyOut: ['0.0.0.0/0'] } }, /^network is not offered/],
  [{ network: { dnsServers: ['1.1.1.1'] } }, /^network is not offered/],
  [{ network: { rules: { 'example.com': [] } } }, /^network\.rules and network\.egressProxy are not offered/],
  [{ network: { egressProxy: { address: 'proxy:1080' } } }, /^network\.rules and/],
  [{ volumeMounts: [{ name: 'v', path: '/v' }] }, /^volumeMounts is not offered/],
];
const accepted = [
  { autoPause: false, autoPauseMemory: true, autoResume: { enabled: false }, secure: true },
  { network: {} },
  { network: { allowOut: [], denyOut: [], rules: {}, allowPublicTraffic: true, egressProxy: null } },
  { secure: true, network: { allowPublicTraffic: false, maskRequestHost: 'localhost', httpsPorts: [443] } },
  { volumeMounts: [] },
  // E2B's clients start the gateway themselves, in the machine.
  { mcp: { github: {} } },
];

describe('what machines can’t do', () => {
  let { app, driver, e2b, events, vms } = {} as Lifecycle;
  beforeEach(async function () {
    if (process.env.TEST_EXECUTABLE !== undefined) this.skip();
    ({ app, driver, e2b, events, vms } = await startLifecycle(new FakeDriver([])));
  });

  itHere('501: members of E2B’s create, on both paths; what asks for nothing is accepted', async () => {
    for (const path of ['/sandboxes', '/v2/sandboxes']) {
      for (const [members, message] of refused) {
        const { status, body, headers } = await e2b.post(path, { ...base, ...members });
        expect([status, body.code, headers['should-retry']], JSON.stringify(members)).to.deep.equal([
          501,
          501,
          'false',
        ]);
        expect(body.message).to.match(message);
      }
      expect(driver.calls).not.to.include('create');
    }
    for (const members of accepted) {
      expect((await e2b.post('/sandboxes', { ...base, ...members })).status, JSON.stringify(members)).to.equal(201);
    }
  });

  itHere('501: E2B’s verbs, which change nothing', async () => {
    const id = await e2b.create();
    const before = await e2b.read(id);
    for (const [action, body] of [
      ['pause', undefined],
      ['pause', { memory: true }],
      ['resume', { timeout: 60 }],
      ['snapshots', {}],
      ['fork', { count: 1 }],
    ] as const) {
      const res = await e2b.post(`/sandboxes/${id}/${action}`, body);
      expect([res.status, res.body.code], action).to.deep.equal([501, 501]);
      expect(res.body.message, action).to.match(/machines/);
    }
    for (const body of [{}, { allow_internet_access: false }, { denyOut: ['0.0.0.0/0'] }]) {
      expect((await e2b.put(`/sandboxes/${id}/network`, body)).status).to.equal(501);
    }
    expect(await e2b.read(id)).to.deep.equal(before);
    expect(await events('vm.updated')).to.deep.equal([]);
  });

  itHere('501: connecting to a sandbox that is paused, as one of a server with records only may be', async () => {
    const user = await app.addUser('paul');
    const id = await app.insert(user, { status: 'paused' });
    for (const path of [`/sandboxes/${id}/connect`, `/v2/sandboxes/${id}/connect`]) {
      const res = await app.http.post(path).set('X-API-Key', user.key).send({ timeout: 60 });
      expect([res.status, res.body.message], path).to.deep.equal([
        501,
        'Sandboxes cannot be resumed: the machines of this server do not offer it; create a new one',
      ]);
    }
    expect((await app.http.get(`/sandboxes/${id}`).set('X-API-Key', user.key)).body.state).to.equal('paused');
  });

  itHere('501: InstaVM’s members and verbs', async () => {
    const { body: vm } = await vms('post', '/v1/vms', {});
    const manifest = {
      schema_version: 2,
      kind: 'devbox',
      slug: 's',
      name: 's',
      version: '1.0.0',
      audience: 'devbox',
      vm: { memory_mb: 512, vcpus: 2 },
      build: [],
      runtime: [],
      terminal: { tmux_session: 'main', command: 'bash', cwd: '/' },
      app: null,
    };
    const calls: ['post' | 'patch', string, object | undefined][] = [
      ['post', '/v1/vms', { auto_suspend: true }],
      ['patch', `/v1/vms/${vm.vm_id}`, { auto_suspend: true }],
      ['patch', `/v1/vms/${vm.vm_id}`, { memory_mb: 1024 }],
      ['post', `/v1/vms/${vm.vm_id}/suspend`, undefined],
      ['post', `/v1/vms/${vm.vm_id}/resume`, {}],
      ['post', `/v1/vms/${vm.vm_id}/clone`, {}],
      ['post', `/v1/vms/${vm.vm_id}/snapshot`, { name: 's' }],
      ['post', '/v1/templates', { manifest, snapshot_id: 's' }],
      ['post', '/v1/templates/s/runs', {}],
    ];
    for (const [method, path, body] of calls) {
      const res = await vms(method, path, body);
      expect([res.status, typeof res.body.detail], `${path} ${JSON.stringify(res.body)}`).to.deep.equal([
        501,
        'string',
      ]);
    }
    expect((await vms('get', `/v1/vms/${vm.vm_id}`)).body).to.deep.equal(vm);
    const changed = await vms('patch', `/v1/vms/${vm.vm_id}`, { auto_suspend: false, metadata: { a: 1 } });
    expect([changed.status, changed.body.metadata]).to.deep.equal([200, { a: 1 }]);
  });
});
