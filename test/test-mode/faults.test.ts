import { expect } from 'chai';
import { openStream } from '../helpers/clients/sse.ts';
import { listPath, startTestClient, type TestClient } from '../helpers/clients/test-client.ts';

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

  it('return a status the given number of times, in the shape of errors, and do nothing else', async () => {
    for (const status of [401, 422, 429, 500, 503]) {
      await steer('faults', { status, method: 'POST', path: '/v1/vms', times: 2 });
      for (let n = 0; n < 2; n++) expect((await callSpoilt('POST', '/v1/vms', {})).status).to.equal(status);
    }
    expect(await list()).to.deep.equal([]);
    expect((await call('POST', '/v1/vms', {})).status).to.equal(201);
  });

  it('send Retry-After and WWW-Authenticate', async () => {
    await steer('faults', { status: 429 });
    await steer('faults', { status: 503, retry_after: 7 });
    await steer('faults', { status: 401 });
    const headers = [];
    for (let n = 0; n < 3; n++) headers.push((await callSpoilt('GET', listPath)).headers);
    expect(headers.map((h) => h.get('retry-after'))).to.deep.equal(['1', '7', null]);
    expect(headers[2]?.get('www-authenticate')).to.equal('Bearer');
  });

  it('match by method and path, in the order of their addition', async () => {
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

  it('delay a response, drop the connection or truncate the response', async () => {
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

  it('end at a reset, together with the requests that they delay', async () => {
    await steer('faults', { delay_seconds: 60, times: 20 });
    const waiting = Promise.allSettled(Array.from({ length: 20 }, () => create()));
    const sent = async () => ((await call('GET', '/_test/requests')).json() as { requests: object[] }).requests;
    while ((await sent()).length < 20);
    await steer('reset');
    for (const { status } of await waiting) expect(status).to.equal('rejected');
    expect(await list()).to.deep.equal([]);
  });

  it('truncate an event stream in its first event; it resumes from there without loss', async () => {
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

  it('break the contract by omitting a member of every object', async () => {
    await create({ metadata: { big: 12345678901234567890n.toString() } });
    await create();
    await steer('faults', { omit: 'sandbox_id' });
    const rows: object[] = (await callSpoilt('GET', listPath)).json();
    expect(rows).to.have.length(2);
    for (const row of rows) expect(row).to.include.keys('metadata', 'status').and.not.have.property('sandbox_id');
    expect((await list())[0]).to.match(/^i\w+ active$/);
  });

  it('are listed with their remaining count, and can be cleared', async () => {
    const ask = await statuses({ status: 500, times: 3 }, { status: 503, path: '/health' });
    expect(await ask(1)).to.deep.equal([500]);
    const { faults }: { faults: { times: number }[] } = (await call('GET', '/_test/faults')).json();
    expect(faults.map(({ times }) => times)).to.deep.equal([2, 1]);
    expect((await call('DELETE', '/_test/faults', undefined, {})).status).to.equal(204);
    expect(await ask(1)).to.deep.equal([200]);
  });

  it('422: a fault without an effect', async () => {
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

  it('422: an unknown path, method or member, with its position', async () => {
    const refusal = async (fault: object) => {
      const answer = await call('POST', '/_test/faults', fault);
      if (answer.status === 201) return null;
      return (answer.json() as { detail: { loc: string[] }[] }).detail.map(({ loc }) => loc.join('.')).join();
    };
    const paths = [
      '/v1/vmss',
      '/v1/snapshots/',
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

  it('may be a custom response, as of a gateway: status, headers and body', async () => {
    const page = '<html><head><title>502 Bad Gateway</title></head></html>';
    const headers = { 'Content-Type': 'text/html', Server: 'nginx', 'Retry-After': 'Wed, 21 Oct 2026 07:28:00 GMT' };
    await steer('faults', { status: 502, headers, body: page });
    const answer = await callSpoilt('GET', listPath);
    expect([answer.status, answer.text]).to.deep.equal([502, page]);
    expect(Object.fromEntries(answer.headers)).to.include({
      'content-type': 'text/html',
      server: 'nginx',
      'retry-after': headers['Retry-After'],
      'content-length': String(page.length),
    });
    await steer('faults', { status: 200, body: 'Sign in to the Wi-Fi', path: '/v2/sandboxes' });
    expect((await callSpoilt('GET', '/v2/sandboxes')).text).to.equal('Sign in to the Wi-Fi');
    await steer('faults', { status: 503, headers: { 'Retry-After': '0', 'X-Zone': 'b' } });
    const shaped = await callSpoilt('GET', listPath);
    expect(shaped.json()).to.have.property('detail');
    expect([shaped.headers.get('retry-after'), shaped.headers.get('x-zone')]).to.deep.equal(['0', 'b']);
    await steer('faults', {
      status: 500,
      headers: { 'Set-Cookie': 'a=b; Expires=Wed, 21 Oct 2026 07:28:00 GMT' },
      body: '',
    });
    expect((await callSpoilt('GET', listPath)).headers.getSetCookie()).to.have.length(1);
  });

  it('422: a response that cannot be sent', async () => {
    const wrong = [
      { status: 200 },
      { status: 199, body: 'x' },
      { status: 204, body: 'x' },
      { body: 'x' },
      { delay_seconds: 1, headers: { A: 'b' } },
      { status: 500, connection: 'drop', body: 'x' },
      { status: 500, body: 'x'.repeat(65_537) },
      { status: 500, headers: { A: 'b\r\nSet-Cookie: c=d' } },
      { status: 500, headers: { A: 'b\u00fc' } },
      { status: 500, headers: { 'A: b\r\nC': 'd' } },
      { status: 500, headers: { '': 'd' } },
      { status: 500, headers: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`x-${n}`, 'y'])) },
      ...['Content-Length', 'transfer-encoding', 'Connection', 'Trailer', 'Date'].map((name) => ({
        status: 500,
        headers: { [name]: '1' },
      })),
    ];
    for (const fault of wrong) {
      expect((await call('POST', '/_test/faults', fault)).status, JSON.stringify(fault).slice(0, 99)).to.equal(422);
    }
  });

  it('can be read by a page of another origin; a preflight request consumes none', async () => {
    const own = await startTestClient(['--cors-origins', 'https://a.example']);
    const origin = { Origin: 'https://a.example' };
    await own.steer('faults', { status: 503, method: '*' });
    const preflight = { ...origin, 'Access-Control-Request-Method': 'GET' };
    expect((await own.callSpoilt('OPTIONS', listPath, undefined, preflight)).status).to.equal(204);
    const answer = await own.callSpoilt('GET', listPath, undefined, origin);
    expect([answer.status, answer.headers.get('access-control-allow-origin')]).to.deep.equal([503, origin.Origin]);
    await own.server.closeStdin();
  });
});

describe('users of one test server', () => {
  let client: TestClient;
  let { call, callSpoilt, steer, create, list } = {} as TestClient;
  let [alice, bob]: Record<string, string>[] = [];
  before(async () => {
    client = await startTestClient();
    ({ call, callSpoilt, steer, create, list } = client);
  });
  beforeEach(async () => {
    await steer('reset');
    [alice, bob] = await Promise.all(
      ['alice', 'bob'].map(async (name) => {
        const { api_key: key }: { api_key: string } = await steer('users', { name });
        return { 'X-API-Key': key };
      }),
    );
  });
  after(() => client.server.closeStdin());

  const status = async (headers = {}) => (await callSpoilt('GET', listPath, undefined, headers)).status;

  it('have their own faults, which affect no other user', async () => {
    await steer('faults', { status: 503, times: 9 }, alice);
    await steer('faults', { status: 500, times: 9 }, bob);
    expect([await status(alice), await status(bob), await status()]).to.deep.equal([503, 500, 401]);
    const asBearer = { Authorization: `Bearer ${alice?.['X-API-Key']}` };
    expect(await status(asBearer)).to.equal(503);
    const faults = async (headers?: object) =>
      ((await call('GET', '/_test/faults', undefined, headers as never)).json() as { faults: object[] }).faults.length;
    expect([await faults(alice), await faults({})]).to.deep.equal([1, 2]);
    await call('DELETE', '/_test/faults', undefined, alice);
    expect([await status(alice), await status(bob)]).to.deep.equal([200, 500]);
    await call('DELETE', '/_test/faults', undefined, {});
    expect(await status(bob)).to.equal(200);
  });

  it('list and clear their own requests, also by method and path', async () => {
    await call('POST', '/v1/vms', {}, alice);
    await status(alice);
    await status(bob);
    await call('POST', '/v1/sessions/session', { api_key: bob?.['X-API-Key'] }, {});
    const seen = async (query = '', headers = {}) => {
      const { requests }: { requests: { method: string; path: string }[] } = (
        await call('GET', `/_test/requests${query}`, undefined, headers)
      ).json();
      return requests.map(({ method, path }) => `${method} ${path}`);
    };
    const listing = `GET ${listPath}`;
    expect(await seen('', alice)).to.deep.equal(['POST /v1/vms', listing]);
    expect(await seen('', bob)).to.deep.equal([listing, 'POST /v1/sessions/session']);
    expect(await seen('?method=POST')).to.deep.equal(['POST /v1/vms', 'POST /v1/sessions/session']);
    expect(await seen('?path=/v1/sessions/*&method=GET', alice)).to.deep.equal([listing]);
    await call('DELETE', '/_test/requests?path=/v1/vms', undefined, bob);
    expect(await seen()).to.have.length(4);
    await call('DELETE', '/_test/requests?path=/v1/vms', undefined, {});
    expect(await seen()).to.deep.equal([listing, listing, 'POST /v1/sessions/session']);
    await call('DELETE', '/_test/requests', undefined, bob);
    expect(await seen()).to.deep.equal([listing]);
  });

  it('reset their own state; the clock is unaffected', async () => {
    const make = async (headers?: Record<string, string>) => call('POST', '/v1/vms', { metadata: { a: 1 } }, headers);
    for (const user of [alice, bob]) await make(user);
    await create();
    await steer('clock', { set: '2030-01-01T00:00:00Z', freeze: true });
    await steer('faults', { delay_seconds: 60 }, alice);
    await steer('faults', { status: 500 }, bob);
    const waiting = callSpoilt('GET', '/v1/vms', undefined, alice).catch(() => 'given up');
    while (!(await call('GET', '/_test/requests', undefined, alice)).text.includes('"/v1/vms","headers"'));
    expect(await steer('reset', undefined, alice)).to.deep.equal({ now: '2030-01-01T00:00:00.000Z', frozen: true });
    expect(await waiting).to.equal('given up');
    expect(await list(alice)).to.deep.equal([]);
    expect(await status(bob)).to.equal(500);
    expect(await list(bob)).to.have.length(1);
    expect(await list()).to.have.length(1);
    const filter = encodeURIComponent('{"a":1}');
    await make(alice);
    expect((await call('GET', `${listPath}?metadata=${filter}`, undefined, alice)).json()).to.have.length(1);
  });

  it('401: an invalid credential; 422: an unknown parameter', async () => {
    const wrong = { 'X-API-Key': 'e2b_wrong' };
    for (const [method, what] of [
      ['POST', 'reset'],
      ['GET', 'faults'],
      ['POST', 'faults'],
      ['DELETE', 'faults'],
      ['GET', 'requests'],
      ['DELETE', 'requests'],
      ['GET', 'clock'],
    ] as const) {
      const body = method === 'POST' && what === 'faults' ? { status: 500 } : undefined;
      if (what !== 'clock') expect((await call(method, `/_test/${what}`, body, wrong)).status, what).to.equal(401);
      const unknown = await call(method, `/_test/${what}?paht=/v1/vms`, body, {});
      expect(unknown.json(), what).to.deep.equal({
        detail: [
          { type: 'extra_forbidden', loc: ['query', 'paht'], msg: 'Extra inputs are not permitted', input: '/v1/vms' },
        ],
      });
    }
  });
});
