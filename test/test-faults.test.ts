import { expect } from 'chai';
import { openStream } from './sse.ts';
import { listPath, startTestClient, type TestClient } from './test-client.ts';

describe('the faults of a test server', () => {
  let client: TestClient;
  let { call, callSpoilt, steer, create, list } = {} as TestClient;
  before(async () => {
    client = await startTestClient();
    ({ call, callSpoilt, steer, create, list } = client);
  });
  beforeEach(() => steer('reset'));
  after(() => client.server.closeStdin());

  const statuses = async (...faults: object[]) => {
    for (const fault of faults) await steer('faults', fault);
    return async (count: number) => {
      const seen = [];
      for (let n = 0; n < count; n++) seen.push((await call('GET', listPath)).status);
      return seen;
    };
  };

  it('answer a status as often as told, in the shape that errors have, and do nothing else', async () => {
    for (const status of [401, 422, 429, 500, 503]) {
      await steer('faults', { status, method: 'POST', path: '/v1/vms', times: 2 });
      for (let n = 0; n < 2; n++) expect((await callSpoilt('POST', '/v1/vms', {})).status).to.equal(status);
    }
    expect(await list()).to.deep.equal([]);
    expect((await call('POST', '/v1/vms', {})).status).to.equal(201);
  });

  it('tell a client when to come back, and how to sign in', async () => {
    await steer('faults', { status: 429 });
    await steer('faults', { status: 503, retry_after: 7 });
    await steer('faults', { status: 401 });
    const headers = [];
    for (let n = 0; n < 3; n++) headers.push((await callSpoilt('GET', listPath)).headers);
    expect(headers.map((h) => h.get('retry-after'))).to.deep.equal(['1', '7', null]);
    expect(headers[2]?.get('www-authenticate')).to.equal('Bearer');
  });

  it('match by method and path, the first that was added first', async () => {
    await steer('faults', { status: 500, method: 'GET', path: '/v1/vms/{vm_id}' });
    await steer('faults', { status: 503, path: '/v1/sess*' });
    await steer('faults', { status: 500, path: listPath });
    expect((await call('POST', '/v1/vms', {})).status).to.equal(201);
    expect((await call('GET', '/v1/vms')).status).to.equal(200);
    expect((await call('GET', '/v1/vms/x?y')).status).to.equal(500);
    expect((await call('GET', '/v1/vms/x')).status).to.equal(404);
    expect(await (await statuses())(3)).to.deep.equal([503, 500, 200]);
  });

  it("have E2B's shape on E2B's paths", async () => {
    await steer('faults', { status: 503, path: '/v2/sandboxes' });
    expect((await call('GET', '/v2/sandboxes')).json()).to.have.property('code', 503);
  });

  it('keep a client waiting, drop its connection, or break off in the middle', async () => {
    await steer('faults', { delay_seconds: 0.01 });
    expect((await call('GET', listPath)).status).to.equal(200);
    await steer('faults', { connection: 'drop', method: 'POST' });
    const failed = await call('POST', '/v1/vms', {}).catch((error) => error);
    expect(failed).to.be.instanceOf(TypeError);
    expect(await list()).to.deep.equal([]);
    await steer('faults', { connection: 'cut', method: 'POST' });
    const half = await call('POST', '/v1/vms', {}).catch((error) => error);
    expect(half.message).to.match(/terminated|closed/);
    expect(await list()).to.have.length(1);
  });

  it('are over with a reset, and with them the requests that they keep waiting', async () => {
    await steer('faults', { delay_seconds: 60, times: 20 });
    const waiting = Promise.allSettled(Array.from({ length: 20 }, () => create()));
    const sent = async () => ((await call('GET', '/_test/requests')).json() as { requests: object[] }).requests;
    while ((await sent()).length < 20);
    await steer('reset');
    for (const { status } of await waiting) expect(status).to.equal('rejected');
    expect(await list()).to.deep.equal([]);
  });

  it('break an event stream off in its first event; it goes on from there without loss', async () => {
    const events = async (after: string) => {
      const headers = { 'X-API-Key': client.server.apiKey, 'Last-Event-ID': after };
      return openStream(`${client.server.url}/v1/events?kind=vm.*`, headers);
    };
    const id = await create();
    await steer('faults', { connection: 'cut', path: '/v1/events' });
    const cut = await events('0');
    const failed = await cut.next().catch((error) => error);
    expect(failed).to.be.instanceOf(Error);
    const whole = await events(cut.lastId() ?? '0');
    expect(JSON.parse((await whole.next()).data ?? '')).to.include({ kind: 'vm.created', sandbox_id: id });
    whole.close();
  });

  it('break the contract: every object lacks a member', async () => {
    await create({ metadata: { big: 12345678901234567890n.toString() } });
    await create();
    await steer('faults', { omit: 'sandbox_id' });
    const rows: object[] = (await callSpoilt('GET', listPath)).json();
    expect(rows).to.have.length(2);
    for (const row of rows) expect(row).to.include.keys('metadata', 'status').and.not.have.property('sandbox_id');
    expect((await list())[0]).to.match(/^i\w+ active$/);
  });

  it('are listed with what is left of them, and cleared', async () => {
    const ask = await statuses({ status: 500, times: 3 }, { status: 503, path: '/health' });
    expect(await ask(1)).to.deep.equal([500]);
    const { faults }: { faults: { times: number }[] } = (await call('GET', '/_test/faults')).json();
    expect(faults.map(({ times }) => times)).to.deep.equal([2, 1]);
    expect((await call('DELETE', '/_test/faults')).status).to.equal(204);
    expect(await ask(1)).to.deep.equal([200]);
  });

  it('422: nothing that could go wrong', async () => {
    const wrong = [
      {},
      { path: '/v1/vms' },
      { status: 200 },
      { status: 429, times: 0 },
      { connection: 'x' },
      { staus: 500 },
    ];
    for (const body of wrong) expect((await call('POST', '/_test/faults', body)).status).to.equal(422);
    expect((await call('GET', '/_test/faults')).json()).to.deep.equal({ faults: [] });
  });

  it('422: a path, method or member that nothing has, and where', async () => {
    const refusal = async (fault: object) => {
      const answer = await call('POST', '/_test/faults', fault);
      if (answer.status === 201) return null;
      return (answer.json() as { detail: { loc: string[] }[] }).detail.map(({ loc }) => loc.join('.')).join();
    };
    const paths = [
      '/v1/vmss',
      '/v1/vms/',
      '/V1/vms',
      'v1/vms',
      `${listPath}?limit=1`,
      '/v1/vms/x/y',
      '/v1/vmx*',
      '/_test/*',
    ];
    for (const path of paths) expect(await refusal({ status: 500, path }), path).to.equal('body.path');
    expect(await refusal({ status: 500, path: listPath, method: 'PUT' })).to.equal('body.path');
    const right = ['*', '/*', '/v1/vm*', '/v1/vms/*', '/v1/vms/{id}', '/v1/vms/i-1', '/v1/vms/i-*', '/v1/*/i-1'];
    for (const path of right) expect(await refusal({ status: 500, path }), path).to.equal(null);
    expect(await refusal({ omit: 'sandbox_ids', path: listPath })).to.equal('body.omit');
    expect(await refusal({ omit: 'secret', path: listPath })).to.equal('body.omit');
    for (const omit of ['sandbox_id', 'detail']) expect(await refusal({ omit, path: listPath }), omit).to.equal(null);
    for (const omit of ['secret', 'url']) {
      const fault = { omit, method: 'POST', path: '/v1/webhooks/endpoints' };
      expect(await refusal(fault), omit).to.equal(null);
    }
  });
});
