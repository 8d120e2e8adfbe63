import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { E2B } from 'e2b';
import { proxy, sandpit } from '../helpers/processes/process.ts';
import { type Caller, startApp, type TestApp } from '../helpers/server.ts';
import { closeAll, sayRaw, serverOf, type Watched, watched } from './helpers.ts';

const list = '/v1/sessions/sandboxes';
const json = { 'Content-Type': 'application/json' };

type Refusal = { detail: { loc: string[]; msg: string }[] };

describe('the proxy', () => {
  afterEach(closeAll);

  describe('in front of Sandpit', () => {
    let app: TestApp;
    let alice: Caller;
    let passing: Watched;
    beforeEach(async () => {
      app = await startApp({ port: 0 });
      alice = await app.addUser('alice');
      passing = await watched(await app.server.start());
    });

    it('reports nothing if the contract is kept', async () => {
      const headers = { 'X-API-Key': alice.key, ...json };
      const body = '{"metadata":{"a":[1,{"b":null}]}}';
      const created = await fetch(`${passing.url}/v1/vms`, { method: 'POST', headers, body });
      expect(created.status).to.equal(201);
      const query = `?limit=5&metadata=${encodeURIComponent('{"a":[1]}')}`;
      const listed = await fetch(passing.url + list + query, { headers: { Authorization: `Bearer ${alice.key}` } });
      expect(await listed.json()).to.have.length(1);
      expect((await fetch(`${passing.url}/v1/vms/nope`, { headers })).status).to.equal(404);
      expect((await fetch(`${passing.url}/openapi.yaml`)).status).to.equal(200);
      const summary = await passing.summary();
      expect(passing.lines()).to.deep.equal([]);
      expect(summary).to.include({ requests: 4, checkedRequests: 4, checkedResponses: 3, unchecked: 1, breaches: 0 });
    });

    it("reports a request in the words of the server's own error", async () => {
      const headers = { 'X-API-Key': alice.key, ...json };
      const post = (body: string, more = {}) => ({ method: 'POST', headers: { ...headers, ...more }, body });
      const asked: [string, RequestInit][] = [
        [`${list}?limit=0&metadata=[1]`, { headers }],
        [`${list}?metadata={"a":1e999999}`, { headers }],
        ['/v1/vms', post('{"metadata":3,"memory_mb":"much"}')],
        ['/v1/vms', post('{"metadata":')],
        ['/v1/vms', post(JSON.stringify({ metadata: { a: 'x'.repeat(70_000) } }))],
        ['/kill', post('')],
        ['/kill', post('{}', { 'Content-Encoding': 'identity' })],
      ];
      const refusals: string[][] = [];
      for (const [path, init] of asked) {
        const { detail } = (await (await fetch(passing.url + path, init)).json()) as Refusal;
        refusals.push(detail.map(({ loc, msg }) => `${loc.join('.')}: ${msg}`));
      }
      await passing.summary();
      const told = asked.map((_, at) =>
        passing
          .lines()
          .filter((line) => line.startsWith(`#${at + 1} `))
          .map((line) => line.split('  request  ')[1]?.replace(/, not '.*'$/, '')),
      );
      expect(told).to.deep.equal(refusals);
      expect(passing.lines()[1]).to.equal(
        `#1 GET ${list}?limit=0&metadata=[1]  request  query.limit: Input should be greater than or equal to 1, not '0'`,
      );
    });

    it('reports a missing credential, a wrong media type or encoding, and a path that cannot be decoded', async () => {
      const key = { 'X-API-Key': alice.key };
      const send = async (path: string, headers: Record<string, string>, body?: string) =>
        (await fetch(passing.url + path, { headers, ...(body && { method: 'POST', body }) })).status;
      expect(await send(list, { Authorization: 'Basic abc' })).to.equal(401);
      expect(await send('/v1/vms', { ...key, 'Content-Type': 'text/plain' }, 'hello')).to.equal(415);
      expect(await send('/v1/vms', { ...key, ...json, 'Content-Encoding': 'gzip' }, '{}')).to.equal(422);
      expect(await send('/v1/vms/%ff', key)).to.equal(404);
      expect(await send('/health', {})).to.equal(200);
      await passing.summary();
      expect(passing.lines().filter((line) => line.includes('  request  '))).to.deep.equal([
        `#1 GET ${list}  request  no credential: X-API-Key or Authorization: Bearer`,
        '#2 POST /v1/vms  request  The operation takes no body of this Content-Type',
        '#3 POST /v1/vms  request  body: Value error, the body is not gzip, as its Content-Encoding says',
        "#4 GET /v1/vms/%ff  request  The path can't be decoded",
      ]);
    });

    it('counts and lists what the contract does not describe', async () => {
      for (const path of ['/nope?token=abc', '/nope', '/v1/vms/x/y']) await fetch(passing.url + path);
      await fetch(passing.url + list, { method: 'PUT' });
      for (let number = 0; number < 30; number++) await fetch(`${passing.url}/x/${number}`);
      const { notDescribed, breaches, requests } = await passing.summary();
      expect({ breaches, requests }).to.deep.equal({ breaches: 0, requests: 34 });
      expect(notDescribed).to.include({ 'GET /nope': 2, 'GET /v1/vms/x/y': 1, [`PUT ${list}`]: 1, others: 13 });
    });

    it('never prints a credential or a body', async () => {
      const secret = 'sesame-open';
      const headers = { 'X-API-Key': secret, Authorization: `Bearer ${secret}`, Cookie: secret, ...json };
      const body = JSON.stringify({ api_key: secret, metadata: secret, env: secret, memory_mb: secret });
      await fetch(`${passing.url}/v1/sessions/session?api_key=${secret}`, { method: 'POST', headers, body });
      await fetch(`${passing.url}/v1/vms`, { method: 'POST', headers, body: `{${secret}` });
      const login = `username=${secret}&pass=${secret}`;
      const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
      await fetch(`${passing.url}/v1/auth/token`, { method: 'POST', headers: form, body: login });
      await passing.summary();
      expect(passing.lines().length).to.be.greaterThan(4);
      expect(passing.lines().join('\n')).to.contain('?api_key=...').and.not.to.contain('sesame');
    });

    it("lets E2B's SDK create, list and kill without a breach", async () => {
      const { Sandbox } = new E2B({ apiKey: alice.key, apiUrl: passing.url, sandboxUrl: passing.url });
      const sandbox = await Sandbox.create('base', { metadata: { run: '42' }, timeoutMs: 60_000 });
      const found = await Sandbox.list({ query: { metadata: { run: '42' } } }).nextItems();
      expect(found.map(({ sandboxId }) => sandboxId)).to.deep.equal([sandbox.sandboxId]);
      expect(await Sandbox.kill(sandbox.sandboxId)).to.equal(true);
      const { requests, breaches } = await passing.summary();
      expect(passing.lines()).to.deep.equal([]);
      expect({ requests, breaches }).to.deep.equal({ requests: 3, breaches: 0 });
    });
  });

  describe('in front of a wrong server', () => {
    const sandbox = {
      sandbox_id: 'a',
      template_id: null,
      name: 'default',
      metadata: {},
      status: 'active',
      started_at: '2025-01-18T10:30:00',
      end_at: null,
    };
    const answers: [string, number, Record<string, string>, string | Buffer, string | null][] = [
      ['a right answer', 200, json, JSON.stringify([sandbox]), null],
      ['a right answer, packed', 200, { ...json, 'Content-Encoding': 'gzip' }, gzipSync('[]'), null],
      [
        'an unpacked answer',
        200,
        { ...json, 'Content-Encoding': 'gzip' },
        '[]',
        'the body is not gzip, as its Content-Encoding says',
      ],
      ['no array', 200, json, '{}', 'must be array'],
      [
        'a number for a string',
        200,
        json,
        JSON.stringify([{ ...sandbox, sandbox_id: 5 }]),
        '0/sandbox_id must be string',
      ],
      ['no JSON', 200, json, '<sesame>', 'the body is not JSON'],
      [
        'HTML',
        200,
        { 'Content-Type': 'text/html' },
        '<p>',
        "list_sandboxes_v1_sessions_sandboxes_get doesn't declare text/html for 200",
      ],
      ['a teapot', 418, json, '{}', "list_sandboxes_v1_sessions_sandboxes_get doesn't declare the status 418"],
      ['that it is busy', 429, { ...json, 'Retry-After': '1' }, '{"detail":"later"}', null],
      ['that its disk is full', 507, json, '{"detail":"full"}', null],
      [
        'that it is busy, not for how long',
        503,
        json,
        '{"detail":"later"}',
        'list_sandboxes_v1_sessions_sandboxes_get is answered 503 without Retry-After',
      ],
      [
        'that it is busy, in another shape',
        503,
        { ...json, 'Retry-After': '1' },
        '{"error":"later"}',
        "must have required property 'detail'",
      ],
      [
        'a failure',
        500,
        json,
        '{"detail":"Internal Server Error"}',
        "list_sandboxes_v1_sessions_sandboxes_get doesn't declare the status 500",
      ],
      ['an empty body', 200, {}, '', "list_sandboxes_v1_sessions_sandboxes_get doesn't declare no media type for 200"],
    ];
    for (const [name, status, headers, body, problem] of answers) {
      it(`${problem ? 'reports' : 'lets pass'} ${name}`, async () => {
        const target = await serverOf((_req, res) => void res.writeHead(status, headers).end(body));
        const { url, lines, summary } = await watched(target);
        const answer = await sayRaw(
          url,
          `GET ${list} HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nConnection: close\r\n\r\n`,
        );
        expect(answer.includes(Buffer.from(body).toString('latin1'))).to.equal(true);
        const { breachesByOperation } = await summary();
        const line = `#1 GET ${list}  response ${status}  ${problem}`;
        expect(lines()).to.deep.equal(problem ? [line] : []);
        const counted = { list_sandboxes_v1_sessions_sandboxes_get: { request: 0, response: 1 } };
        expect(breachesByOperation).to.deep.equal(problem ? counted : {});
      });
    }
  });

  it('accepts a 503 in the dialect of the path', async () => {
    const target = await serverOf((req, res) => {
      res.writeHead(429, { ...json, 'Retry-After': '1' });
      res.end(req.headers['x-api-key'] === 'e2b' ? '{"code":429,"message":"later"}' : '{"detail":"later"}');
    });
    const { url, lines, summary } = await watched(target);
    for (const key of ['e2b', 'k'])
      await (await fetch(`${url}/v2/sandboxes`, { headers: { 'X-API-Key': key } })).text();
    await summary();
    expect(lines()).to.have.length(1);
    expect(lines()[0]).to.match(/^#2 GET \/v2\/sandboxes {2}response 429 {2}must have required property 'code'/);
  });

  describe('sandpit proxy', () => {
    const keyed = { headers: { 'X-API-Key': 'k' } };
    const wrong = () => serverOf((_req, res) => void res.writeHead(200, json).end('{}'));
    const right = () => serverOf((_req, res) => void res.writeHead(200, json).end('[]'));

    it('prints breaches as they occur and a summary at the end', async () => {
      const { url, output, stop } = await proxy(['--target', await wrong()]);
      await (await fetch(url + list, keyed)).text();
      await fetch(`${url}/nope`);
      expect(await stop('SIGINT'), 'without --strict').to.equal(0);
      expect(output.stdout).to.match(/^#1 GET \/v1\/sessions\/sandboxes {2}response 200 {2}must be array\n\n/);
      expect(output.stdout)
        .to.match(/^requests +2$/m)
        .and.to.match(/^breaches +1$/m);
      expect(output.stdout)
        .to.match(/^list_sandboxes_v1_sessions_sandboxes_get +0 +1$/m)
        .and.to.match(/^GET \/nope +1$/m);
    });

    it('--json prints one JSON line for each breach and one for the summary', async () => {
      const { url, output, stop } = await proxy(['--json', '--target', await wrong()]);
      await (await fetch(`${url}${list}?limit=0`, keyed)).text();
      await stop();
      const [first, second, summary, ...rest] = output.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(rest).to.deep.equal([]);
      const operation = 'list_sandboxes_v1_sessions_sandboxes_get';
      const asked = { kind: 'breach', request: 1, method: 'GET', url: `${list}?limit=0`, operation };
      const problem = "query.limit: Input should be greater than or equal to 1, not '0'";
      const request = { side: 'request', problem, loc: ['query', 'limit'], type: 'greater_than_equal' };
      const response = { side: 'response', status: 200, problem: 'must be array' };
      expect([first, second]).to.have.deep.members([
        { ...asked, ...request },
        { ...asked, ...response },
      ]);
      expect(summary).to.deep.equal({
        kind: 'summary',
        requests: 1,
        checkedRequests: 1,
        checkedResponses: 1,
        unchecked: 0,
        unreachable: 0,
        ...{
          unanswered: 0,
          incomplete: 0,
          breaches: 2,
          breachesByOperation: { [operation]: { request: 1, response: 1 } },
        },
        notDescribed: {},
      });
    });

    it('--strict exits with 0 without a breach, and with 1 after one, if nothing was checked or if the target was unreachable', async () => {
      const codeAfter = async (target: string, path?: string) => {
        const { url, stop } = await proxy(['--strict', '--target', target]);
        if (path) await (await fetch(url + path, keyed)).text();
        return stop();
      };
      expect(await codeAfter(await wrong(), list)).to.equal(1);
      expect(await codeAfter(await right(), list)).to.equal(0);
      expect(await codeAfter(await right(), '/nope')).to.equal(1);
      expect(await codeAfter(await right())).to.equal(1);
      expect(await codeAfter('http://127.0.0.1:9', list)).to.equal(1);
      expect(await codeAfter(await serverOf((req) => req.socket.destroy()), list)).to.equal(1);
    });

    it('refuses invalid arguments and says why', async () => {
      const refusals: [string[], RegExp][] = [
        [[], /required option '--target <url>' not specified/],
        [['--target', 'localhost:3000'], /must be an http or https URL/],
        [['--target', 'http://user:pass@x'], /may have only a host, a port and a path/],
        [['--target', 'http://x', '--port', '70000'], /whole number from 0 to 65535/],
        [
          ['--target', 'http://localhost:9', '--port', '9'],
          /is the address of the proxy itself: choose another --port/,
        ],
        [['--target', 'http://x', '--host', '192.0.2.1'], /can't listen on 192\.0\.2\.1:0: .*EADDRNOTAVAIL/],
      ];
      for (const [args, message] of refusals) {
        const { code, stderr } = await sandpit(['proxy', '--port', '0', ...args]);
        expect(code).to.equal(1);
        expect(stderr).to.match(message);
      }
    });
  });
});
