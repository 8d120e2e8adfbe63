import { expect } from 'chai';
import { type E2b, shareE2b } from './e2b-client.ts';
import { apiKey, type Caller, type TestApp } from './helpers.ts';

describe("the network rules of E2B's sandboxes", () => {
  const arrange = shareE2b();
  let app: TestApp;
  let alice: Caller;
  let e2b: E2b;
  beforeEach(async () => {
    ({ app, alice, e2b } = await arrange());
  });

  const networkOf = async (id: string) => {
    const { network, allowInternetAccess } = await e2b.read(id);
    return { network, allowInternetAccess };
  };

  it('204: is replaced whole, but for what is set for good', async () => {
    const lasting = { allowPublicTraffic: false, maskRequestHost: 'example.com', httpsPorts: [443] };
    const network = { ...lasting, allowOut: ['1.1.1.1'], denyOut: ['0.0.0.0/0'], rules: { a: [] }, egressProxy: {} };
    const volumeMounts = [{ name: 'a', path: '/a' }];
    const given = { network, volumeMounts, allow_internet_access: true, autoResume: { enabled: true } };
    const id = await e2b.create(given);
    expect(await networkOf(id)).to.deep.equal({ network, allowInternetAccess: true });
    const { status, text } = await e2b.put(`/sandboxes/${id}/network`, { denyOut: [], allow_internet_access: false });
    expect([status, text]).to.deep.equal([204, '']);
    const denied = { network: { ...lasting, denyOut: [] }, allowInternetAccess: false };
    expect(await networkOf(id)).to.deep.equal(denied);
    await e2b.put(`/sandboxes/${id}/network`, {});
    expect(await networkOf(id)).to.deep.equal({ network: lasting, allowInternetAccess: null });
    const { lifecycle, volumeMounts: mounts } = await e2b.read(id);
    expect([lifecycle.autoResume, mounts]).to.deep.equal([true, volumeMounts]);
  });

  it('204: is set where there was none, and outlasts a pause', async () => {
    const id = await e2b.create();
    const rules = { 'example.com': [{ action: 'allow' }] };
    await e2b.put(`/sandboxes/${id}/network`, { rules, egressProxy: null });
    for (const action of ['pause', 'resume']) await e2b.does(id, action);
    expect((await networkOf(id)).network).to.deep.equal({ rules, egressProxy: null });
  });

  it('400: rules that are a number, however long', async () => {
    const text = '{"templateID":"base","network":{"rules":12345678901234567890}}';
    const answer = await app.http.post('/v2/sandboxes').set(apiKey(alice)).type('json').send(text);
    expect(answer.status).to.equal(400);
  });

  it('400: rules that nest deeper than is kept; what is kept can be replaced', async () => {
    const nested = (levels: number) => JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`);
    const id = await e2b.create({ network: { rules: nested(62) } });
    for (const rules of [nested(62), {}]) {
      expect((await e2b.put(`/sandboxes/${id}/network`, { rules })).status).to.equal(204);
      expect((await networkOf(id)).network).to.deep.equal({ rules });
    }
    const refused = await e2b.put(`/sandboxes/${id}/network`, { rules: nested(63) });
    expect(refused.body).to.deep.equal({ code: 400, message: 'the settings: nested more than 64 levels deep' });
    expect((await networkOf(id)).network).to.deep.equal({ rules: {} });
  });
});
