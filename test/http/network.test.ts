import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text as readText } from 'node:stream/consumers';
import { expect } from 'chai';
import { openStream } from '../helpers/clients/sse.ts';
import { contract, operations } from '../helpers/contract.ts';
import { apiKey, itHere, startApp, type TestApp } from '../helpers/server.ts';

const list = '/v1/sessions/sandboxes';

/** Starts the server. Returns `count` connections to it. */
async function open(app: TestApp, count = 1): Promise<Socket[]> {
  const port = Number(new URL(await app.server.start()).port);
  const sockets = Array.from({ length: count }, () => connect(port, '127.0.0.1'));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  return sockets;
}

describe('HTTP', () => {
  describe('headers', () => {
    it("every response has helmet's headers, and none names the program", async () => {
      const { http } = await startApp();
      for (const path of ['/health', '/nope', list, '/docs/start.js']) {
        const { headers } = await http.get(path);
        expect(headers, path).to.include({
          'content-security-policy': "default-src 'none';frame-ancestors 'none'",
          'cross-origin-opener-policy': 'same-origin',
          'cross-origin-resource-policy': 'same-origin',
          'referrer-policy': 'no-referrer',
          'x-content-type-options': 'nosniff',
          'x-frame-options': 'SAMEORIGIN',
        });
        expect(headers).not.to.have.any.keys('x-powered-by', 'server', 'strict-transport-security');
      }
    });
  });

  describe('Cache-Control', () => {
    it('forbids caching of every response except the files of the reference page', async function () {
      // The checks of some 200 operations are compiled here.
      this.timeout(180_000);
      const app = await startApp();
      const alice = await app.addUser('alice');
      const isPlain = ({ path }: { path: string }) => path !== '/v1/events' && !path.startsWith('/_test/');
      const asked = [
        ...operations.filter(isPlain).map(({ method, path }) => [method, path.replace(/\{.*?\}/g, 'x')] as const),
        ...['/nope', '/', '/docs/', '/%ff'].map((path) => ['get', path] as const),
        ['put', '/health'] as const,
        ['head', '/ready'] as const,
      ];
      for (const [method, path] of asked) {
        for (const credential of [apiKey(alice), {}]) {
          const { headers } = await app.http[method as 'get'](path).set(credential);
          expect(headers['cache-control'], `${method} ${path}`).to.equal('no-store');
        }
      }
      const { headers } = await app.http.get('/docs/swagger-ui.css');
      expect(headers['cache-control']).to.equal('public, max-age=3600');
    });
  });

  describe('CORS', () => {
    const preflight = (app: TestApp, origin: string) =>
      app.http
        .options(list)
        .set({ Origin: origin, 'Access-Control-Request-Method': 'GET', 'Access-Control-Request-Headers': 'X-API-Key' });

    it('sends no CORS headers unless origins are configured', async () => {
      const app = await startApp();
      for (const response of [await preflight(app, 'https://a.example'), await app.http.get('/health')]) {
        expect(Object.keys(response.headers).join()).not.to.contain('access-control');
      }
      expect((await preflight(app, 'https://a.example')).status).to.equal(405);
    });

    itHere('exposes every response header of our own', async () => {
      const app = await startApp({ corsOrigins: ['*'] });
      const { headers } = await app.http.get('/health').set('Origin', 'https://a.example');
      const exposed = headers['access-control-expose-headers']?.split(',') ?? [];
      const declared = [...JSON.stringify(contract).matchAll(/"\$ref":"#\/components\/headers\/([^"]+)"/g)];
      expect(declared.length).to.be.above(5);
      expect(exposed).to.include.members(declared.map(([, name]) => name));
      expect(exposed).to.include.members(['X-Request-Id', 'X-Total-Running', 'Location', 'RateLimit-Remaining']);
    });

    it('declares only shared response headers in the contract', () => {
      const responses = operations.flatMap(({ operation }) => Object.values(operation.responses));
      const shared = Object.values((contract.components as unknown as { responses: object }).responses);
      for (const response of [...responses, ...shared] as { headers?: Record<string, object> }[]) {
        for (const [name, header] of Object.entries(response.headers ?? {})) {
          expect(header).to.deep.equal({ $ref: `#/components/headers/${name}` });
        }
      }
    });

    itHere('allows listed origins and no others', async () => {
      const app = await startApp({ corsOrigins: ['https://a.example'] });
      const answer = await preflight(app, 'https://a.example');
      expect(answer.status).to.equal(204);
      expect(answer.headers).to.include({
        'access-control-allow-origin': 'https://a.example',
        'access-control-allow-headers': 'X-API-Key',
      });
      expect((await preflight(app, 'https://b.example')).status).to.equal(405);
      for (const origin of ['https://b.example', 'null', 'https://a.example.evil', 'http://a.example']) {
        const { headers } = await app.http.get('/health').set('Origin', origin);
        expect(headers).not.to.have.property('access-control-allow-origin');
        expect(headers.vary).to.contain('Origin');
      }
    });
  });

  describe('SANDPIT_RATE_LIMIT', () => {
    itHere('429: above the rate of a key, until time has passed; other keys are unaffected', async () => {
      const app = await startApp({ rateLimit: { count: 3, milliseconds: 60_000 } });
      const [alice, bob] = [await app.addUser('alice'), await app.addUser('bob')];
      const ask = (caller = alice) => app.http.get(list).set(apiKey(caller));
      for (let n = 0; n < 3; n++) expect((await ask()).status).to.equal(200);
      const refused = await ask();
      expect(refused.status).to.equal(429);
      expect(refused.body).to.deep.equal({ detail: 'Too many requests: try again later' });
      expect(refused.headers['retry-after']).to.equal('20');
      expect((await ask(bob)).status).to.equal(200);
      app.clock.now += 19_999;
      expect((await ask()).status).to.equal(429);
      app.clock.now += 1;
      expect([(await ask()).status, (await ask()).status]).to.deep.equal([200, 429]);
    });

    itHere('every counted response says what is left, whatever its status', async () => {
      const app = await startApp({ rateLimit: { count: 4, milliseconds: 60_000 } });
      const alice = await app.addUser('alice');
      const ask = async (path: string, credential: Record<string, string> = apiKey(alice)) => {
        const { headers } = await app.http.get(path).set(credential);
        return ['policy', 'limit', 'remaining', 'reset'].map((name) => headers[`ratelimit-${name}`]).join(' ');
      };
      expect(await ask(list)).to.equal('4;w=60 4 3 15');
      expect(await ask(`${list}?limit=0`)).to.equal('4;w=60 4 2 30');
      expect(await ask('/v1/vms/x')).to.equal('4;w=60 4 1 45');
      app.clock.now += 10_000;
      expect(await ask('/sandboxes')).to.equal('4;w=60 4 0 50');
      expect(await ask('/sandboxes'), '429').to.equal('4;w=60 4 0 50');
      app.clock.now += 50_000;
      expect(await ask(list)).to.equal('4;w=60 4 3 15');
      for (const [path, left] of [
        [list, 3],
        ['/nope', 2],
        ['/', 1],
        ['/openapi.json', 0],
      ] as const) {
        expect(await ask(path, {}), path).to.match(new RegExp(`^4;w=60 4 ${left} `));
      }
      expect(await ask('/health')).to.equal('   ');
      expect(await ask(list, { 'X-API-Key': 'wrong' })).to.match(/ 4 0 /);
    });

    itHere("429: without a valid key the rate is per address; in E2B's shape on its paths", async () => {
      const app = await startApp({ rateLimit: { count: 2, milliseconds: 1000 } });
      const alice = await app.addUser('alice');
      expect((await app.http.get(list).set('X-API-Key', 'wrong')).status).to.equal(401);
      expect((await app.http.get('/openapi.json')).status).to.equal(200);
      expect((await app.http.get(list).set('X-API-Key', 'wrong')).status).to.equal(429);
      expect((await app.http.get('/openapi.json')).status).to.equal(429);
      expect((await app.http.get('/sandboxes')).body).to.include({ code: 429 });
      expect((await app.http.get(list).set(apiKey(alice))).status).to.equal(200);
    });

    itHere('429: a session created with a key in the body counts for that key', async () => {
      const app = await startApp({ rateLimit: { count: 2, milliseconds: 1000 }, trustProxy: 1 });
      const { key } = await app.addUser('alice');
      const create = (address: string) =>
        app.http.post('/v1/sessions/session').set('X-Forwarded-For', address).send({ api_key: key });
      const statuses = [];
      for (const address of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) statuses.push((await create(address)).status);
      expect(statuses).to.deep.equal([200, 200, 429]);
    });

    itHere('a stream counts once, and occupies no slot', async () => {
      const app = await startApp({ port: 0, rateLimit: { count: 3, milliseconds: 1000 }, maxConcurrent: 1 });
      const [alice, bob] = [await app.addUser('alice'), await app.addUser('bob')];
      const url = await app.server.start();
      const stream = await openStream(`${url}/v1/events`, apiKey(alice));
      expect(stream.status).to.equal(200);
      for (let n = 0; n < 3; n++) expect((await fetch(url + list, { headers: apiKey(bob) })).status).to.equal(200);
      for (let n = 0; n < 2; n++) {
        const headers = apiKey(alice);
        expect((await fetch(`${url}/v1/api-keys/`, { method: 'POST', headers })).status).to.equal(201);
        expect(await stream.next()).to.include({ event: 'api_key.created' });
      }
      stream.close();
    });

    itHere('does not lock callers out when the clock is set back', async () => {
      const app = await startApp({ rateLimit: { count: 1, milliseconds: 1000 } });
      await app.http.get('/openapi.json');
      app.clock.now -= 3_600_000;
      expect((await app.http.get('/openapi.json')).headers['retry-after']).to.equal('1');
      app.clock.now += 1000;
      expect((await app.http.get('/openapi.json')).status).to.equal(200);
    });
  });

  describe('X-Forwarded-For', () => {
    const guess = (app: TestApp, from: string) =>
      app.http.post('/v1/auth/token').set('X-Forwarded-For', from).type('form').send(`username=${from}&password=wrong`);

    it('is ignored without SANDPIT_TRUST_PROXY, so the limit of failed logins holds', async () => {
      const app = await startApp({ loginAttempts: 2 });
      const statuses = [];
      for (const from of ['1.1.1.1', '1.1.1.2', '1.1.1.3']) statuses.push((await guess(app, from)).status);
      expect(statuses).to.deep.equal([401, 401, 429]);
    });

    it('identifies clients behind a trusted proxy, whatever the client itself sends', async () => {
      const app = await startApp({ loginAttempts: 1, trustProxy: 1 });
      const statuses = [];
      for (const from of ['1.1.1.1', '1.1.1.2', '9.9.9.9, 1.1.1.1']) statuses.push((await guess(app, from)).status);
      expect(statuses).to.deep.equal([401, 401, 429]);
    });

    it("ignores a port, and falls back to the proxy's address if the value is not an address", async () => {
      const app = await startApp({ loginAttempts: 1, trustProxy: 1 });
      const same = [
        ['1.1.1.1:5000', '1.1.1.1:5001', '1.1.1.1'],
        ['[2001:db8::1]:5000', '[2001:db8::2]', '2001:db8::3'],
        ['unknown', '_hidden', '1.1.1.1.1:80', '127.0.0.1'],
      ];
      for (const [first = '', ...others] of same) {
        expect((await guess(app, first)).status, first).to.equal(401);
        for (const from of others) expect((await guess(app, from)).status, from).to.equal(429);
      }
    });
  });

  describe('admission', () => {
    it('503: with Retry-After for a request above the limit, while the others are answered', async () => {
      const app = await startApp({ port: 0, maxConcurrent: 2 });
      const alice = await app.addUser('alice');
      const { sqlite } = app.server.context.store;
      const { default: Database } = await import('better-sqlite3');
      const other = new Database(sqlite.name);
      other.exec('begin immediate');
      const url = await app.server.start();
      const headers = { ...apiKey(alice), 'Content-Type': 'application/json' };
      const full = 'The server is handling too many requests: try again later';
      // A create that arrives beside the first request below may be the one that is refused.
      const create = async (): Promise<Response> => {
        const answer = await fetch(`${url}/v1/vms`, { method: 'POST', headers, body: '{}' });
        return answer.status === 503 && ((await answer.clone().json()) as { detail: string }).detail === full
          ? create()
          : answer;
      };
      const pending = [create(), create()];
      // They may take a moment to arrive.
      let answer = await fetch(`${url}/openapi.yaml`);
      while (answer.status !== 503) answer = await fetch(`${url}/openapi.yaml`);
      // Health probes bypass the limit; otherwise an orchestrator would kill a busy server.
      for (const probe of ['health', 'ready']) expect((await fetch(`${url}/${probe}`)).status).to.equal(200);
      expect(answer.headers.get('retry-after')).to.equal('1');
      expect(await answer.json()).to.deep.equal({ detail: full });
      expect(await (await fetch(`${url}/sandboxes`)).json()).to.include({ code: 503 });
      other.exec('commit');
      other.close();
      for (const response of pending) expect((await response).status).to.equal(201);
      expect((await fetch(`${url}/health`)).status).to.equal(200);
    });

    it('closes the connection whose body has been arriving longest', async () => {
      const app = await startApp({ port: 0, maxConcurrent: 1 });
      const [slow] = (await open(app)) as [Socket];
      slow.write('POST /v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nusername=');
      const closed = once(slow, 'close');
      const url = `http://127.0.0.1:${slow.remotePort}`;
      // Its request may take a moment to arrive.
      while (!slow.destroyed && !slow.readableEnded) expect((await fetch(`${url}/openapi.yaml`)).status).to.equal(200);
      await closed;
      await app.logged(/its body is slow and others wait/);
    });

    it('closes the longest-idle connection to accept a new one', async () => {
      const app = await startApp({ port: 0, maxConnections: 3 });
      const [first] = (await open(app)) as [Socket];
      const port = first.remotePort as number;
      const closed = once(first.resume(), 'close');
      const others = Array.from({ length: 3 }, () => connect(port, '127.0.0.1'));
      await closed;
      expect((await fetch(`http://127.0.0.1:${port}/health`)).status).to.equal(200);
      for (const socket of others) socket.destroy();
    });
  });

  describe('pipelined requests', () => {
    const asking = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n';

    it('free their slots when the connection closes', async () => {
      const app = await startApp({ port: 0, maxConcurrent: 20 });
      const [first, second] = (await open(app, 2)) as [Socket, Socket];
      const url = `http://127.0.0.1:${first.remotePort}/health`;
      const form = 'username=a&password=b';
      const login = `POST /v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: ${form.length}\r\n\r\n${form}`;
      for (const socket of [first, second]) socket.write(login + asking.repeat(30));
      // The requests have arrived by then, and wait for the password check.
      await fetch(url);
      first.resetAndDestroy();
      second.resetAndDestroy();
      while ((app.log().match(/auth\/token/g) ?? []).length < 2) await fetch(url);
      expect((await fetch(url)).status).to.equal(200);
    });

    itHere('503: an event stream whose turn comes while the server stops', async () => {
      const app = await startApp({ port: 0, shutdownSeconds: 5 });
      const { key } = await app.addUser('alice');
      const { default: Database } = await import('better-sqlite3');
      const other = new Database(app.server.context.store.sqlite.name);
      other.exec('begin immediate');
      const [socket] = (await open(app)) as [Socket];
      const head = (line: string) => `${line} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${key}\r\n`;
      const create = `${head('POST /v1/vms')}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`;
      socket.write(`${create}${head('GET /v1/events')}\r\n`);
      // By then they have arrived.
      await fetch(`http://127.0.0.1:${socket.remotePort}/health`);
      const closed = app.close();
      other.exec('rollback');
      other.close();
      expect(await readText(socket)).to.match(/ 201 [\s\S]* 503 [\s\S]*\{"detail":"The server is stopping"\}$/);
      await closed;
    });

    it('are answered in order; above a hundred the connection is closed', async () => {
      const app = await startApp({ port: 0, maxConcurrent: 1 });
      const [few, many] = (await open(app, 2)) as [Socket, Socket];
      const answers = async (socket: Socket, count: number) => {
        socket.write(`${asking.repeat(count - 1)}GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
        return ((await readText(socket).catch(() => '')).match(/HTTP\/1.1 200 OK/g) ?? []).length;
      };
      expect(await answers(few, 100)).to.equal(100);
      expect(await answers(many, 1000)).to.be.below(101);
    });
  });

  describe('a client that is still sending when the response arrives', () => {
    const plenty = Buffer.alloc(2 ** 23, 'x');
    const chunk = Buffer.concat([Buffer.from(`${plenty.length.toString(16)}\r\n`), plenty]);
    const head = (line: string, ...headers: string[]) =>
      [`${line} HTTP/1.1`, 'Host: x', ...headers, '', ''].join('\r\n');
    const sized = `Content-Length: ${plenty.length}`;

    /** Sends everything before it reads. Returns the status and the body. */
    const say = async (port: number, ...parts: (string | Buffer)[]) => {
      const socket = connect(port, '127.0.0.1').pause();
      for (const part of parts) await new Promise((resolve) => socket.write(part, resolve));
      const [first = '', body = ''] = (await readText(socket)).split('\r\n\r\n');
      return `${first.split(' ')[1]} ${JSON.parse(body).detail}`;
    };

    it('receives the response, however much it still sends: 400, 401, 404, 413, 429, 431, 505', async () => {
      const app = await startApp({ port: 0, rateLimit: { count: 20, milliseconds: 60_000 } });
      const alice = await app.addUser('alice');
      const port = Number(new URL(await app.server.start()).port);
      const json = ['Content-Type: application/json', `X-API-Key: ${alice.key}`];
      const create = head('POST /v1/vms', 'Connection: close', sized);
      const cases: [string, ...(string | Buffer)[]][] = [
        ['400 Bad Request', 'nonsense\r\n\r\n', plenty],
        ['431 Request Header Fields Too Large', `GET / HTTP/1.1\r\nHost: x\r\nX: `, plenty],
        ['505 HTTP Version Not Supported', head('POST /v1/vms', sized).replace('1.1', '2.0'), plenty],
        ['401 Not authenticated', create, plenty],
        ['404 Not Found', create.replace('/v1/vms', '/nope'), plenty],
        ['413 The request body is larger than 1048576 bytes', head('POST /v1/vms', ...json, sized), plenty],
        [
          '413 The request body is larger than 1048576 bytes',
          head('POST /v1/vms', ...json, 'Transfer-Encoding: chunked'),
          chunk,
        ],
      ];
      for (const [expected, ...parts] of cases) {
        for (let n = 0; n < 3; n++) expect(await say(port, ...parts)).to.equal(expected);
      }
      const statuses = [];
      while (statuses.length < 20) statuses.push(await say(port, create, plenty));
      expect(statuses.at(-1)).to.equal('429 Too many requests: try again later');
    });

    it('is disconnected after 64 MiB', async () => {
      const app = await startApp({ port: 0 });
      const [socket] = (await open(app)) as [Socket];
      socket.on('error', () => {});
      socket.write('nonsense\r\n\r\n');
      while (!socket.destroyed) await new Promise((resolve) => socket.write(plenty, resolve));
      expect(socket.bytesWritten).to.be.within(2 ** 26, 2 ** 27);
    });
  });

  describe('an absolute request target', () => {
    const askAt = async (port: number, target: string, ...headers: string[]) => {
      const socket = connect(port, '127.0.0.1');
      socket.write([`GET ${target} HTTP/1.1`, ...headers, 'Connection: close', '', ''].join('\r\n'));
      return ((await readText(socket)).split(' ')[1] ?? 'closed') as string;
    };

    it('is read as its path if Host names the same host; otherwise 400', async () => {
      const app = await startApp({ port: 0 });
      const { key } = await app.addUser('alice');
      const port = Number(new URL(await app.server.start()).port);
      const ask = askAt.bind(null, port);
      const credential = `X-API-Key: ${key}`;
      const right: [string, string][] = [
        ['http://a.example/health', 'a.example'],
        ['http://A.example:80/health?x=http://b', 'a.example'],
        ['https://a.example/health', 'a.example:443'],
        [`http://a.example:3000${list}?metadata={}#x`, 'a.example:3000'],
        ['http://[::1]:3000/v1/vms?all=true', '[::1]:3000'],
      ];
      for (const [target, host] of right) {
        expect(await ask(target, `Host: ${host}`, credential), target).to.equal('200');
      }
      expect(await ask(`http://a.example${list}?limit=0`, 'Host: a.example', credential)).to.equal('422');
      expect(await ask('http://a.example', 'Host: a.example')).to.equal('302');
      const wrong: [string, ...string[]][] = [
        ['http://a.example/health', 'Host: b.example'],
        ['http://a.example:81/health', 'Host: a.example'],
        ['http://user@a.example/health', 'Host: a.example'],
        ['http:///health', 'Host: a.example'],
        ['/health', 'Host: a.example', 'Host: b.example'],
        ['/health', 'Host: a.example', 'host: a.example'],
        ['/health'],
        ['http://a.example/health'],
      ];
      for (const [target, ...headers] of wrong) expect(await ask(target, ...headers), target).to.equal('400');
      for (const target of ['ftp://a.example/health', '*']) {
        expect(await ask(target, 'Host: a.example'), target).to.match(/^40[04]$/);
      }
    });
  });

  describe('a slow client', () => {
    it('408: headers or a body that arrive too slowly', async () => {
      const app = await startApp({ port: 0, requestSeconds: 1 });
      const [silent, headers, body] = (await open(app, 3)) as [Socket, Socket, Socket];
      headers.write('GET /health HTTP/1.1\r\nHost: x\r\n');
      body.write('POST /v1/auth/token HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nusername=');
      const answers = [silent, headers, body].map(async (socket) => {
        let text = '';
        socket.on('data', (chunk) => {
          text += chunk;
        });
        await once(socket, 'close');
        return text.split('\r\n')[0];
      });
      const late = 'HTTP/1.1 408 Request Timeout';
      expect(await Promise.all(answers)).to.deep.equal([late, late, late]);
    });
  });
});
