import { expect } from 'chai';
import { useE2b } from '../helpers/clients/e2b-client.ts';
import { apiKey } from '../helpers/server.ts';

describe("the network rules of E2B's sandboxes", () => {
  const { app, alice, e2b } = useE2b();

  const networkOf = async (id: string) => {
    const { network, allowInternetAccess } = await e2b.read(id);
    return { network, allowInternetAccess };
  };

  it('204: replaces all rules except those fixed at creation', async () => {
    const lasting = { allowPublicTraffic: false, maskRequestHost: 'example.com', httpsPorts: [443] };
    const replaced = { allowOut: ['1.1.1.1'], denyOut: ['0.0.0.0/0'], dnsServers: ['8.8.4.4'], rules: { a: [] } };
    const network = { ...lasting, ...replaced, egressProxy: { address: 'proxy.example.com:1080', username: 'u' } };
    const given = { network, allow_internet_access: true, autoResume: { enabled: true } };
    const id = await e2b.create(given);
    expect(await networkOf(id)).to.deep.equal({ network, allowInternetAccess: true });
    const { status, text } = await e2b.put(`/sandboxes/${id}/network`, { denyOut: [], allow_internet_access: false });
    expect([status, text]).to.deep.equal([204, '']);
    const denied = { network: { ...lasting, denyOut: [] }, allowInternetAccess: false };
    expect(await networkOf(id)).to.deep.equal(denied);
    await e2b.put(`/sandboxes/${id}/network`, {});
    expect(await networkOf(id)).to.deep.equal({ network: lasting, allowInternetAccess: null });
    expect((await e2b.read(id)).lifecycle.autoResume).to.equal(true);
  });

  it('204: sets rules on a sandbox without any; they survive a pause', async () => {
    const id = await e2b.create();
    const rules = { 'example.com': [{ transform: { headers: { 'X-Key': 'k' } } }] };
    await e2b.put(`/sandboxes/${id}/network`, { rules, egressProxy: null });
    for (const action of ['pause', 'resume']) await e2b.does(id, action);
    expect((await networkOf(id)).network).to.deep.equal({ rules });
  });

  it('400: a rule that is a number, of any length', async () => {
    const text = '{"templateID":"base","network":{"rules":12345678901234567890}}';
    const answer = await app.http.post('/v2/sandboxes').set(apiKey(alice)).type('json').send(text);
    expect(answer.status).to.equal(400);
  });

  it("stores the egress proxy's password and CA certificate, and never returns them", async () => {
    const tls = { enabled: true, serverName: 'proxy', caCert: 'the-certificate' };
    const egressProxy = { address: 'proxy:1080', username: 'u', password: 'hush-hush', tls };
    const shown = { address: 'proxy:1080', username: 'u', tls: { enabled: true, serverName: 'proxy' } };
    const created = await e2b.create({ network: { egressProxy } });
    const changed = await e2b.create();
    expect((await e2b.put(`/sandboxes/${changed}/network`, { egressProxy })).status).to.equal(204);
    const [forked] = (await e2b.post(`/sandboxes/${created}/fork`, {})).body;
    for (const id of [created, changed, forked.sandbox.sandboxID]) {
      expect((await networkOf(id)).network).to.deep.equal({ egressProxy: shown });
      const answers = [await e2b.get(`/sandboxes/${id}`), await e2b.get('/v2/sandboxes'), await e2b.get('/sandboxes')];
      for (const { text } of answers) expect(text).not.to.match(/hush-hush|the-certificate/);
    }
    const { sqlite } = app.server.context.store;
    const kept = sqlite.prepare('select settings from sandboxes where owner_id = ?').pluck().all(alice.id);
    expect(kept).to.have.length(3);
    expect(String(kept)).not.to.match(/hush-hush|the-certificate/);
    expect(app.log()).not.to.match(/hush-hush|the-certificate/);
  });

  it('400: an invalid rule, and names its position', async () => {
    const id = await e2b.create();
    const wrong: [object, string][] = [
      [{ rules: { a: null } }, 'rules.a'],
      [{ rules: { a: {} } }, 'rules.a'],
      [{ rules: { a: [{ transform: { headers: { b: 1 } } }] } }, 'rules.a.0.transform.headers.b'],
      [{ rules: { a: [{ action: 'allow' }] } }, 'rules.a.0.action'],
      [{ rules: { a: [{ transform: { header: {} } }] } }, 'rules.a.0.transform.header'],
      [{ egressProxy: {} }, 'egressProxy.address'],
      [{ egressProxy: { address: 'a:1', port: 1 } }, 'egressProxy.port'],
      [{ egressProxy: { address: 'a:1', tls: { enabled: true, key: 'k' } } }, 'egressProxy.tls.key'],
      [{ egressProxy: { address: 'a:1', tls: {} } }, 'egressProxy.tls.enabled'],
      [{ egressProxy: { address: 'a:1', tls: { enabled: false, caCert: 'c' } } }, 'egressProxy.tls'],
      [{ egressProxy: { address: 'a:1', tls: { enabled: true, serverName: 'a'.repeat(254) } } }, 'egressProxy.tls'],
      [{ egressProxy: { address: 'a:1', tls: { enabled: true, caCert: 'é' } } }, 'egressProxy.tls.caCert'],
      [{ egressProxy: { address: 'a:1', tls: { enabled: true, caCert: 'c'.repeat(8193) } } }, 'egressProxy.tls.caCert'],
      [{ dnsServers: ['abc'] }, 'dnsServers.0'],
      [{ dnsServers: ['::1'] }, 'dnsServers.0'],
      [{ dnsServers: Array(11).fill('1.1.1.1') }, 'dnsServers'],
      [{ denyOuts: [] }, 'denyOuts'],
    ];
    for (const [network, place] of wrong) {
      const created = await e2b.post('/v2/sandboxes', { templateID: 'base', network });
      const changed = await e2b.put(`/sandboxes/${id}/network`, network);
      expect([created.status, changed.status], place).to.deep.equal([400, 400]);
      expect(created.body.message).to.contain(`body.network.${place}`);
      expect(changed.body.message).to.contain(`body.${place}`);
    }
    const ports = await e2b.post('/v2/sandboxes', { templateID: 'base', network: { httpsPorts: [49_983] } });
    expect([ports.status, ports.body.message]).to.satisfy(
      ([status, message]: [number, string]) => status === 400 && message.includes('body.network.httpsPorts.0'),
    );
    expect((await networkOf(id)).network).to.equal(undefined);
  });

  it('returns only the known members of rules stored by an earlier version', async () => {
    const junk = {
      foo: 1,
      allowOut: ['1.1.1.1'],
      egressProxy: {},
      rules: { a: null, b: [{ action: 'x', transform: { headers: { c: 'd' }, e: 1 } }, { f: 1 }] },
    };
    const id = await app.insert(alice, { settings: { network: junk } as never });
    const rules = { b: [{ transform: { headers: { c: 'd' } } }, {}] };
    expect((await networkOf(id)).network).to.deep.equal({ allowOut: ['1.1.1.1'], rules });
  });
});
