import { once } from 'node:events';
import { connect } from 'node:net';
import { text as readText } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { expect } from 'chai';
import { isE2b } from '../../app/http/dialect.ts';
import { maxReasonBytes } from '../../app/http/web-socket.ts';
import { makeCertificate } from '../helpers/certificate.ts';
import { contract, operations } from '../helpers/contract.ts';
import { apiKey, shareApp, startApp, type TestApp } from '../helpers/server.ts';

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

/** Every path with what a client would put into it, and the methods that are refused there. */
const refused = contract['x-not-offered-paths'].flatMap(({ paths, ...entry }) =>
  paths.map((pattern) => {
    const served = Object.keys(contract.paths[pattern] ?? {}).map((method) => method.toUpperCase());
    const path = pattern.replace(/\{.*?\}/g, 'x1').replace('*', 'a/b');
    const asked = methods.filter((method) => (entry.methods?.includes(method) ?? true) && !served.includes(method));
    return { ...entry, pattern, path, asked, isServed: served.includes('GET') };
  }),
);
const withKey = refused.filter(({ security }) => !security);
const sockets = refused.filter(({ web_socket: isSocket }) => isSocket);

const bodyFor = (path: string, status: number, message: string) =>
  isE2b(path) ? { code: status, message } : { detail: message };

describe('paths that clients know and that are not offered', () => {
  const shared = shareApp();

  it('501: with the reason in the dialect of the path, to every method', async () => {
    const alice = await shared().addUser('alice');
    for (const { path, reason, asked } of refused) {
      expect(asked, path).not.to.have.length(0);
      for (const method of asked) {
        const { status, body } = await shared().http[method.toLowerCase() as 'get'](`${path}?a=b`).set(apiKey(alice));
        expect([status, body], `${method} ${path}`).to.deep.equal([501, bodyFor(path, 501, reason)]);
      }
    }
  });

  it('501: to HEAD, of which only the status arrives', async () => {
    const erin = await shared().addUser('erin');
    for (const { path, methods: only } of refused) {
      if (only) continue;
      const { status, text = '' } = await shared().http.head(path).set(apiKey(erin));
      expect([status, text], path).to.deep.equal([501, '']);
    }
  });

  it('401: without a valid key, unless clients have none', async () => {
    for (const { path, reason, security, asked } of refused) {
      for (const [key, words] of [
        [undefined, 'Not authenticated'],
        ['e2b_wrong', 'Could not validate credentials'],
      ] as const) {
        const call = shared().http[asked[0]?.toLowerCase() as 'get'](path);
        const { status, body, headers } = await (key ? call.set('X-API-Key', key) : call);
        const expected = security ? [501, bodyFor(path, 501, reason)] : [401, bodyFor(path, 401, words)];
        expect([status, body], path).to.deep.equal(expected);
        expect(headers['www-authenticate'], path).to.equal(security ? undefined : 'Bearer');
      }
    }
  });

  it('the reason names Sandpit and ends as a sentence, and a WebSocket can carry it where it has to', () => {
    for (const { reason } of refused) expect(reason).to.match(/^Sandpit does not offer .*\.$/);
    for (const { reason } of sockets) expect(Buffer.byteLength(reason)).to.be.at.most(maxReasonBytes);
  });

  it('each is listed once, and refuses no operation', () => {
    const keys = refused.flatMap(({ pattern, asked }) => asked.map((method) => `${method} ${pattern}`));
    expect(new Set(keys).size).to.equal(keys.length);
    for (const { pattern, methods: only = [] } of refused) {
      for (const method of only) expect(contract.paths[pattern] ?? {}).not.to.have.property(method.toLowerCase());
    }
  });

  it('404: what nobody knows, and 405 where another method is served', async () => {
    const bob = await shared().addUser('bob');
    const ask = (path: string) => shared().http.get(path).set(apiKey(bob));
    for (const path of [
      '/v1/volumes/',
      '/v1/nope',
      '/v1/volumes/x/nope',
      '/v1/computeruse/x/',
      '/v1/browser/sessions',
    ]) {
      const { status, body } = await ask(path);
      expect([status, body], path).to.deep.equal([404, { detail: 'Not Found' }]);
    }
    for (const path of [
      '/volumes/x/nope',
      '/teams/x',
      '/api-keys/x/nope',
      '/v3/nope',
      '/secrets/',
      '/default-templates/x',
    ]) {
      const { status, body } = await ask(path);
      expect([status, body], path).to.deep.equal([404, { code: 404, message: 'Not Found' }]);
    }
    const { status, headers } = await shared().http.put('/v1/custom-domains/1').set(apiKey(bob));
    expect([status, headers.allow]).to.deep.equal([405, 'GET']);
  });

  it('E2B’s paths have E2B’s errors: those of every operation and of every path that is not offered', () => {
    for (const { path, operation } of operations) {
      expect(isE2b(path), path).to.equal(operation.tags.some((tag) => tag.startsWith('e2b-')));
    }
    for (const { path, dialect } of refused) expect(isE2b(path), path).to.equal(dialect === 'e2b');
  });

  it('a read-only key may not even try to change something', async () => {
    const carol = await shared().addUser('carol');
    const { body: made } = await shared()
      .http.post('/v1/api-keys/')
      .set(apiKey(carol))
      .send({ description: 'r', permissions: ['read'] });
    const key = { 'X-API-Key': made.api_key ?? made.key };
    expect((await shared().http.get('/v1/volumes').set(key)).status).to.equal(501);
    expect((await shared().http.post('/v1/volumes').set(key)).status).to.equal(403);
  });

  it('a custom domain has failed, whichever it is, for the reason of the other paths', async () => {
    const dan = await shared().addUser('dan');
    const read = (id: string) => shared().http.get(`/v1/custom-domains/${id}`).set(apiKey(dan));
    const reason = refused.find(({ pattern }) => pattern === '/v1/custom-domains')?.reason;
    for (const id of [0, 1, 9007199254740991]) {
      const { status, body } = await read(String(id));
      expect([status, body]).to.deep.equal([200, { id, domain: '', status: 'failed', last_error: reason }]);
    }
    expect((await read('x')).status).to.equal(422);
    expect((await shared().http.get('/v1/custom-domains/1')).status).to.equal(401);
  });
});

describe('a request for a path that is not offered', () => {
  const portOf = async (app: TestApp) => Number(new URL(await app.server.start()).port);

  it('may have any body: nothing of it is read, and the connection stays', async () => {
    const app = await startApp({ port: 0 });
    const { key } = await app.addUser('alice');
    const port = await portOf(app);
    const large = Buffer.alloc(2 ** 20 + 1, 'x');
    const types = ['multipart/form-data; boundary=b', 'application/x-www-form-urlencoded', 'application/json', ''];
    const socket = connect(port, '127.0.0.1');
    for (const { path } of [...withKey.slice(0, 12), ...withKey.slice(-12)]) {
      for (const type of types) {
        const head = [`POST ${path} HTTP/1.1`, 'Host: x', `X-API-Key: ${key}`, `Content-Length: ${large.length}`];
        if (type) head.push(`Content-Type: ${type}`);
        socket.write(`${head.join('\r\n')}\r\n\r\n`);
        socket.write(large);
      }
    }
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    const answers = (await readText(socket)).match(/HTTP\/1\.1 \d+/g) ?? [];
    expect(answers.slice(0, -1)).to.deep.equal(Array(24 * types.length).fill('HTTP/1.1 501'));
    expect(answers.at(-1)).to.equal('HTTP/1.1 200');
  });

  it('is answered before its body has arrived', async () => {
    const app = await startApp({ port: 0 });
    const { key } = await app.addUser('alice');
    const socket = connect(await portOf(app), '127.0.0.1');
    const head = ['POST /upload HTTP/1.1', 'Host: x', `X-API-Key: ${key}`, 'Content-Length: 1000000000'];
    socket.write(`${head.join('\r\n')}\r\n\r\nx`);
    const [answer] = await once(socket, 'data');
    expect(String(answer)).to.match(/^HTTP\/1\.1 501 /);
    socket.destroy();
  });

  it('counts against the rate, and is logged with the path in the contract', async () => {
    const app = await startApp({ rateLimit: { count: 2, milliseconds: 60_000 } });
    const alice = await app.addUser('alice');
    const ask = () => app.http.get('/v1/vaults/secret-name').set(apiKey(alice));
    expect([(await ask()).status, (await ask()).status, (await ask()).status]).to.deep.equal([501, 501, 429]);
    const login = () => app.http.post('/api/cli-auth/start');
    expect([(await login()).status, (await login()).status, (await login()).status]).to.deep.equal([501, 501, 429]);
    const unknown = await startApp({ rateLimit: { count: 1, milliseconds: 60_000 } });
    const nope = () => unknown.http.get('/nope');
    expect([(await nope()).status, (await nope()).status]).to.deep.equal([404, 429]);
    await app.logged(/"route":"\/v1\/vaults\/\{vault_id\}","status":501.*"owner":"alice"/);
    expect(app.log()).not.to.contain('secret-name');
  });

  it('may be OPTIONS without an origin, whatever pages may call', async () => {
    const app = await startApp({ corsOrigins: ['*'] });
    const alice = await app.addUser('alice');
    const ask = () => app.http.options('/v1/computeruse/s/state').set(apiKey(alice));
    expect((await ask()).status).to.equal(501);
    expect((await ask().set({ Origin: 'http://a.example', 'Access-Control-Request-Method': 'GET' })).status).to.equal(
      204,
    );
  });
});

describe('a WebSocket to a terminal', () => {
  const open = async (url: string) => {
    const socket = new WebSocket(url.replace('http', 'ws'));
    const begin = Date.now();
    const closed = await new Promise<CloseEvent>((resolve) => socket.addEventListener('close', resolve));
    expect(Date.now() - begin, 'milliseconds').to.be.below(10_000);
    return [closed.code, closed.reason, closed.wasClean];
  };

  it('is accepted and closed: 4500 with the reason, 4401 without a valid key', async () => {
    const app = await startApp({ port: 0 });
    const { key } = await app.addUser('alice');
    const url = await app.server.start();
    expect(sockets).to.have.length(2);
    for (const { path, reason } of sockets) {
      expect(await open(`${url}${path}?api_key=${key}`), path).to.deep.equal([4500, reason, true]);
      for (const query of ['', '?api_key=', '?api_key=e2b_wrong']) {
        expect(await open(`${url}${path}${query}`)).to.deep.equal([4401, 'The API key is not valid', true]);
      }
    }
    await app.logged(/"route":"\/v1\/vms\/\{vm_id\}\/pty\/\{pty_id\}\/connect","status":101.*"owner":"alice"/);
    expect(app.log()).not.to.contain(key).and.not.to.contain('aborted');
  });

  const handshake = (path: string, ...headers: string[]) =>
    [`GET ${path} HTTP/1.1`, 'Host: x', 'Connection: keep-alive, Upgrade', ...headers, '', ''].join('\r\n');
  const version = ['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13'];

  for (const isTls of [false, true]) {
    it(`takes the key in X-API-Key too, completes the handshake${isTls ? ' over TLS' : ''}, and ends the connection`, async () => {
      const files = await makeCertificate();
      const app = await startApp({ port: 0, ...(isTls && { tlsCert: files.cert, tlsKey: files.key }) });
      const { key } = await app.addUser('alice');
      const port = Number(new URL(await app.server.start()).port);
      const socket = isTls ? connectTls({ port, host: '127.0.0.1', ca: files.pem }) : connect(port, '127.0.0.1');
      socket.setEncoding('latin1');
      const opening = handshake('/v1/vms/x/pty/y/connect', 'Upgrade: WebSocket', ...version, `X-API-Key: ${key}`);
      // Nothing that follows is answered.
      socket.write(`${opening}GET /health HTTP/1.1\r\nHost: x\r\n\r\n`);
      const answer = await readText(socket);
      expect(answer).to.match(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
      expect(answer).to.contain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
      const frame = answer.slice(answer.indexOf('\r\n\r\n') + 4);
      const reason = sockets[0]?.reason ?? '';
      expect([...Buffer.from(frame, 'latin1')]).to.deep.equal([
        0x88,
        reason.length + 2,
        4500 >> 8,
        4500 & 0xff,
        ...Buffer.from(reason),
      ]);
    });
  }

  it('429: past the rate', async () => {
    const app = await startApp({ port: 0, rateLimit: { count: 1, milliseconds: 60_000 } });
    const { key } = await app.addUser('alice');
    const url = await app.server.start();
    expect((await open(`${url}/v1/vms/x/pty/y/connect?api_key=${key}`))[0]).to.equal(4500);
    expect((await open(`${url}/v1/vms/x/pty/y/connect?api_key=${key}`))[0]).to.equal(1006);
    await app.logged(/connect","status":429/);
  });

  it('is nowhere else: any other upgrade is answered as the request would be without it', async () => {
    const app = await startApp({ port: 0 });
    const { key } = await app.addUser('alice');
    const port = Number(new URL(await app.server.start()).port);
    const ask = async (...[path, ...headers]: [string, ...string[]]) => {
      const socket = connect(port, '127.0.0.1');
      socket.write(handshake(path, `X-API-Key: ${key}`, 'Connection: close', ...headers));
      return (await readText(socket)).split(' ')[1];
    };
    expect(await ask('/health', 'Upgrade: websocket', ...version)).to.equal('200');
    expect(await ask('/health', 'Upgrade: h2c')).to.equal('200');
    expect(await ask('/nope', 'Upgrade: websocket', ...version)).to.equal('404');
    expect(await ask('/v1/computeruse/s/vnc/websockify', 'Upgrade: websocket', ...version)).to.equal('501');
    expect(await ask('/v1/vms/x/pty/y/connect', 'Upgrade: websocket')).to.equal('501');
    expect(await ask('/v1/vms/x/pty/y/connect', 'Upgrade: h2c', ...version)).to.equal('501');
  });
});
