import { join } from 'node:path';
import { expect } from 'chai';
import type { Feature } from '../../app/machines/driver.ts';
import type { EgressRules } from '../../app/machines/network/rules.ts';
import { egressOf } from '../../app/machines/network/settings.ts';
import { createProcessDriver } from '../../app/machines/process/driver.ts';
import { startInstavm } from '../helpers/clients/instavm-client.ts';
import { temporaryDirectory } from '../helpers/server.ts';

const closed = {
  allow_package_managers: false,
  allow_public_repos: false,
  allow_http: false,
  allow_https: false,
  allowed_domains: [],
  allowed_cidrs: [],
};

describe("InstaVM's egress policies", () => {
  it('become the rules of a machine, which close everything that they do not open', () => {
    const rules = (policy: object) => egressOf({ egressPolicy: { ...closed, ...policy } });
    expect(rules({})).to.include({ internet: false }).and.deep.include({ allow: [], openPorts: [], domains: [] });
    expect(rules({ allow_http: true, allow_https: true, allow_package_managers: true })).to.deep.include({
      openPorts: [80, 443],
      domains: [],
    });
    const named = rules({
      allowed_domains: ['a.example'],
      allowed_cidrs: ['192.0.2.0/24'],
      allow_package_managers: true,
    });
    expect(named.allow).to.deep.equal(['192.0.2.0/24']);
    expect(named.domains).to.include.members(['a.example', 'pypi.org', 'registry.npmjs.org']);
  });

  it('refuse in words what the machines can not do, an unknown sandbox, and an address that is none', async () => {
    const { app, alice, bob, get, post, remove } = await startInstavm({ machines: 'process' });
    const created = await app.http.post('/v1/sessions/session').send({ api_key: alice.key });
    const session = created.body.session_id as string;
    const vm = (await get(`/v1/sessions/status/${session}`)).body.vm_id as string;
    const open = {
      ...closed,
      allow_package_managers: true,
      allow_public_repos: true,
      allow_http: true,
      allow_https: true,
    };
    for (const path of [`/v1/egress/session/${session}`, `/v1/egress/vm/${vm}`]) {
      expect((await get(path)).body).to.deep.equal(open);
      // The machines of this test have no network rules.
      expect((await post(path, open)).body.detail).to.contain('have no network rules');
      expect((await post(path, { allowed_domains: ['a.example'] })).body.detail).to.contain(
        'allowed_domains is not offered',
      );
      const packages = await post(path, { allow_package_managers: true });
      expect([packages.status, packages.body.detail]).to.deep.equal([501, packages.body.detail]);
      expect(packages.body.detail).to.contain('needs allow_https');
      expect((await post(path, { allow_public_repos: true })).status).to.equal(501);
      const wrong = await post(path, { allowed_cidrs: ['300.0.0.0/8'] });
      expect([wrong.status, wrong.body.detail]).to.deep.equal([
        403,
        "allowed_cidrs: '300.0.0.0/8' is no address and no CIDR block",
      ]);
      expect((await post(path, { allowed_domains: ['-'] })).status).to.equal(422);
      expect((await get(path, bob)).status).to.equal(403);
      expect((await post(path, open, bob)).status).to.equal(403);
    }
    expect((await get('/v1/egress/session/x')).status).to.equal(422);
    expect((await post('/v1/vms', { egress_policy: { allowed_domains: ['a.example'] } })).status).to.equal(501);
    expect((await post('/v1/vms', { egress_policy: open })).body.detail).to.contain('have no network rules');
    await remove(`/v1/vms/${vm}`);
    expect((await get(`/v1/egress/vm/${vm}`)).body.detail).to.equal(`The sandbox ${vm} has ended`);
  });

  it('are in force at once, and shown with all their members', async () => {
    const machines = createProcessDriver({ instance: 'x', db: join(temporaryDirectory(), 'sandpit.db') });
    const given: EgressRules[] = [];
    const restrict = async (_id: string, rules: EgressRules) => void given.push(rules);
    const features = new Set<Feature>([...machines.features, 'egress']);
    const driver = Object.assign(machines, { restrict, features });
    const { app, alice, get, post } = await startInstavm({ machines: 'process' }, driver);
    const { body } = await app.http.post('/v1/sessions/session').send({ api_key: alice.key });
    const policy = { allow_https: true, allowed_cidrs: ['192.0.2.0/24'] };
    const vm = (await get(`/v1/sessions/status/${body.session_id}`)).body.vm_id as string;
    for (const path of [`/v1/egress/session/${body.session_id}`, `/v1/egress/vm/${vm}`]) {
      expect((await post(path, policy)).body.status).to.equal('ok');
      expect(given.pop()).to.deep.include({ internet: false, allow: ['192.0.2.0/24'], openPorts: [443] });
      expect((await get(path)).body).to.deep.equal({ ...closed, ...policy });
    }
  });

  it('501 with records only', async () => {
    const { get, post } = await startInstavm();
    const nobody = '00000000-0000-4000-8000-000000000000';
    for (const path of [`/v1/egress/session/${nobody}`, '/v1/egress/vm/x']) {
      expect([(await get(path)).status, (await post(path, closed)).status]).to.deep.equal([501, 501]);
    }
    const refused = await post('/v1/vms', { egress_policy: closed });
    expect([refused.status, refused.body.detail]).to.deep.equal([501, refused.body.detail]);
  });
});

describe("InstaVM's auto_resume", () => {
  it('resumes a suspended sandbox for a request to its machine, set when it starts or later', async () => {
    const { app, alice, get, post } = await startInstavm({ machines: 'process' });
    const execute = async (vm: string) => {
      const { session_id } = (await get(`/v1/vms/${vm}`)).body;
      return post('/execute', { session_id, command: 'cat file', language: 'bash' });
    };
    for (const [first, later] of [[true], [undefined, true], [true, false]]) {
      const { vm_id: vm, session_id } = (await post('/v1/vms', first === undefined ? {} : { auto_resume: first })).body;
      await post('/execute', { session_id, command: 'echo kept > file', language: 'bash' });
      if (later !== undefined)
        await app.http.patch(`/v1/vms/${vm}`).set('X-API-Key', alice.key).send({ auto_resume: later });
      await post(`/v1/vms/${vm}/suspend`);
      const { status, body } = await execute(vm);
      if (later === false) expect(status).to.equal(403);
      else expect([status, body.stdout]).to.deep.equal([200, 'kept\n']);
    }
  });
});
