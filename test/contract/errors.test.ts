import { connect } from 'node:net';
import { text as readText } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { expect } from 'chai';
import { isE2b } from '../../app/http/dialect.ts';
import { operations } from '../helpers/contract.ts';
import { apiKey, itHere, startApp } from '../helpers/server.ts';

describe('errors', () => {
  it('404: an unknown path', async () => {
    const { http } = await startApp();
    for (const path of ['/nope', '/v1', '/v1/vms/i1/nope', '/V1/vms', '/docs/nope.js', '/%ff', '//']) {
      const response = await http.get(path);
      expect(response.status, path).to.equal(404);
      expect(response.body).to.deep.equal({ detail: 'Not Found' });
    }
  });

  it('404: names the path without the trailing slash, with or without a credential', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    const detail = (path: string) => ({ detail: `Not Found: ${path} has no slash at its end` });
    const wrong = {
      '/v1/snapshots/': detail('/v1/snapshots'),
      '/v1/vms/i1/suspend/': detail('/v1/vms/{vm_id}/suspend'),
      '/v1/api-keys//': detail('/v1/api-keys/'),
      '/sandboxes/': { code: 404, message: detail('/sandboxes').detail },
    };
    for (const [path, body] of Object.entries(wrong)) {
      for (const headers of [apiKey(alice), {}]) {
        const answer = await app.http.post(path).set(headers).send({ templateID: 'base' });
        expect([answer.status, answer.body], path).to.deep.equal([404, body]);
      }
    }
    await app.logged(/"route":null,"status":404/);
    expect((await app.http.get('/v1/vms').set(apiKey(alice))).body).to.deep.equal([]);
  });

  it('needless escapes do not change a path; only E2B’s paths add a charset to JSON', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    const { vm_id: id } = (await app.http.post('/v1/vms').set(apiKey(alice)).send({})).body;
    const escaped = `%${id.charCodeAt(0).toString(16)}${id.slice(1)}`;
    const typeOf = async (path: string) => {
      const { status, headers } = await app.http.get(path).set(apiKey(alice));
      return `${status} ${headers['content-type']}`;
    };
    for (const path of ['/v1/sessions/sandboxe%73?limit=1', '/%76%31/%76ms', `/v1/vms/${escaped}`, '/h%65alth']) {
      expect(await typeOf(path), path).to.equal('200 application/json');
    }
    for (const path of ['/v1%2fvms', '/v1/vms%3Flimit=1', '/%6eope', '/v1/vms?limit=0']) {
      expect(await typeOf(path), path).to.match(/^4\d\d application\/json$/);
    }
    expect(await typeOf('/sandboxe%73')).to.equal('200 application/json; charset=utf-8');
    expect(await typeOf('/sandboxes/none')).to.match(/^40\d application\/json; charset=utf-8$/);
  });

  it('405: a known path with another method; Allow lists the allowed ones', async () => {
    const { http } = await startApp();
    const response = await http.put('/v1/vms/i1');
    expect(response.status).to.equal(405);
    expect(response.body).to.deep.equal({ detail: 'Method Not Allowed' });
    expect(response.headers.allow?.split(', ').sort()).to.deep.equal(['DELETE', 'GET', 'PATCH']);
  });

  it('422 (400 on E2B’s paths): a body that does not match its Content-Encoding, on every operation with a body', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    const cut = gzipSync(JSON.stringify({ name: 'x' })).subarray(0, 15);
    const withBody = operations.filter(
      ({ operation, path }) => operation.requestBody && !operation['x-reads-body'] && !path.startsWith('/_test/'),
    );
    expect(withBody).to.have.length.above(20);
    for (const { method, path, operation } of withBody) {
      const type = Object.keys(operation.requestBody?.content ?? {})[0] as string;
      for (const [encoding, body] of [
        ['gzip', Buffer.from('junk')],
        ['gzip', cut],
        ['br', Buffer.from('junk')],
      ] as const) {
        const request = app.http[method as 'post'](path.replace(/\{.*?\}/g, 'x'))
          .set(apiKey(alice))
          .type(type);
        // Node.js would not mark the end of a DELETE's body.
        request
          .set('Transfer-Encoding', 'chunked')
          .set('Content-Encoding', encoding)
          .write(body as never);
        const answer = await request;
        expect(answer.status, `${method} ${path}`).to.equal(isE2b(path) ? 400 : 422);
        expect(answer.text).to.contain(`the body is not ${encoding}, as its Content-Encoding says`);
      }
      const unknown = app.http[method as 'post'](path.replace(/\{.*?\}/g, 'x'))
        .set(apiKey(alice))
        .type(type);
      expect((await unknown.set('Content-Encoding', 'compress').send('{}')).status, path).to.equal(415);
    }
    expect(app.log()).not.to.contain('"level":50');
  });

  it('a path that cannot be decoded is an unknown id in every operation', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    const withParameter = operations.filter(({ path }) => path.includes('{') && !path.startsWith('/_test/'));
    for (const { method, path } of withParameter) {
      const ask = (id: string) => app.http[method as 'get'](path.replace(/\{.*?\}/g, id)).set(apiKey(alice));
      const { status } = await ask('nothing');
      for (const id of ['%ED%A0%80', 'a%C3', '%zz']) {
        const answer = await ask(id);
        // E2B's ids have a format; an id that breaks it is 400.
        if (answer.status !== 400 || !isE2b(path)) expect(answer.status, `${method} ${path} ${id}`).to.equal(status);
      }
    }
  });

  it('never answers 304, because no response has an ETag', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    for (const { path } of operations.filter(({ method, path }) => method === 'get' && path !== '/v1/events')) {
      const ask = () => app.http.get(path.replace(/\{.*?\}/g, 'x')).set(apiKey(alice));
      const [plain, conditional] = [await ask(), await ask().set('If-None-Match', '*')];
      expect(conditional.status, path).to.equal(plain.status).and.not.to.equal(304);
      expect(conditional.headers).not.to.have.any.keys('etag', 'last-modified');
    }
  });

  it('reads a body only if the operation declares one, and only after authentication', async () => {
    const { http } = await startApp();
    const broken = (method: 'get' | 'post', path: string) => http[method](path).type('json').send('{');
    expect((await broken('get', '/health')).status).to.equal(200);
    expect((await broken('get', '/nope')).status).to.equal(404);
    expect((await broken('post', '/v1/vms')).status).to.equal(401);
  });

  it('400, 431: malformed HTTP or oversized headers, in the shape of other errors', async () => {
    const { server } = await startApp({ port: 0 });
    const { port } = new URL(await server.start());
    const say = async (text: string) => {
      const socket = connect(Number(port), '127.0.0.1').end(text);
      const [head, body] = (await readText(socket)).split('\r\n\r\n');
      return [head?.split('\r\n')[0], JSON.parse(body as string).detail];
    };
    expect(await say('nonsense\r\n\r\n')).to.deep.equal(['HTTP/1.1 400 Bad Request', 'Bad Request']);
    const large = `GET / HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(200_000)}\r\n\r\n`;
    expect((await say(large))[0]).to.equal('HTTP/1.1 431 Request Header Fields Too Large');
    const socket = connect(Number(port), '127.0.0.1').end('GET /health HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n');
    expect(await readText(socket), 'an answer to the request before').not.to.match(/^HTTP\/1.1 400/);
  });

  it('417: an unknown expectation, in the shape of other errors; 100-continue is supported', async () => {
    const { server } = await startApp({ port: 0 });
    const { port } = new URL(await server.start());
    const say = (path: string, expectation: string) => {
      const head = `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\nExpect: ${expectation}`;
      return readText(connect(Number(port), '127.0.0.1').end(`${head}\r\n\r\n{}`));
    };
    const inVain = await say('/v1/vms', 'x');
    expect(inVain).to.match(/^HTTP\/1.1 417 Expectation Failed\r\n/);
    expect(inVain).to.match(/\r\nx-request-id: [0-9a-f-]{36}\r\n/i);
    expect(inVain.split('\r\n\r\n')[1]).to.equal('{"detail":"Expectation Failed"}');
    const e2b = await say('/sandboxes', 'x');
    expect(e2b.split('\r\n\r\n')[1]).to.equal('{"code":417,"message":"Expectation Failed"}');
    expect(await say('/v1/vms', '100-Continue')).to.match(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 401 /);
  });

  it('422: a body that is not UTF-8', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    const body = Buffer.from('{"snapshot_id":"\xff"}', 'latin1').toString('latin1');
    const request = app.http.post('/v1/vms').set(apiKey(alice)).type('json');
    request.write(Buffer.from(body, 'latin1') as never);
    expect((await request).body.detail[0]).to.deep.include({ type: 'json_invalid', ctx: { error: 'not UTF-8' } });
  });

  it('500: an unexpected failure is logged in full and reveals nothing', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    app.server.context.store.sqlite.exec('alter table sandboxes rename to elsewhere');
    const response = await app.http.get('/v1/sessions/sandboxes').set(apiKey(alice));
    expect(response.status).to.equal(500);
    expect(response.body).to.deep.equal({ detail: 'Internal Server Error' });
    await app.logged(/no such table: sandboxes/);
  });

  it('500: a failure while checking a credential is not a 401, and reveals nothing', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    app.server.context.store.sqlite.exec('alter table api_keys rename to elsewhere');
    const response = await app.http.get('/v1/sessions/sandboxes').set(apiKey(alice));
    expect(response.status).to.equal(500);
    expect(response.body).to.deep.equal({ detail: 'Internal Server Error' });
    await app.logged(/no such table: api_keys/);
  });

  it('500: instead of a response that breaks the contract, when responses are validated', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice');
    const id = await app.insert(alice);
    app.server.context.store.sqlite.exec('update sandboxes set memory_mb = 9e15, vcpu_count = 1, template_id = null');
    app.server.context.store.sqlite.exec(`update sandboxes set id = 'Not An Id', metadata = '{}' where id = '${id}'`);
    const response = await app.http.get('/v1/vms/Not%20An%20Id').set(apiKey(alice));
    expect(response.status).to.equal(500);
    await app.logged(/sandbox_id/);
  });

  itHere('200: /health answers whatever the state of the store', async () => {
    const app = await startApp();
    app.server.context.store.sqlite.close();
    const { status, body } = await app.http.get('/health');
    expect([status, body]).to.deep.equal([200, { status: 'ok', version: '0.1.0' }]);
    expect((await app.http.get('/ready')).status).to.equal(503);
  });

  it('503: a write while another process holds the write lock; reads continue', async () => {
    const app = await startApp();
    const alice = await app.addUser('alice', 'correct horse');
    const id = await app.insert(alice);
    const token = app.server.context.links.create(alice);
    const other = new Database(app.server.context.config.db);
    other.exec('begin immediate');
    const write = (method: 'post' | 'patch' | 'delete', path: string, body?: object) =>
      app.http[method](path)
        .set(apiKey(alice))
        .send(body)
        .then((response) => response);
    const login = app.http.post('/v1/auth/token').type('form').send('username=alice&password=correct horse');
    const writes = [
      write('post', '/v1/vms'),
      write('patch', `/v1/vms/${id}`, { metadata: {} }),
      write('delete', `/v1/vms/${id}`),
      login.then((response) => response),
      write('post', '/v1/auth/link', { token }),
    ];
    expect((await app.http.get('/v1/sessions/sandboxes').set(apiKey(alice))).body).to.have.length(1);
    for (const response of await Promise.all(writes)) {
      expect(response.status).to.equal(503);
      expect(response.body).to.deep.equal({ detail: 'the database is busy with another process' });
      expect(response.headers['retry-after']).to.equal('1');
    }
    other.close();
    expect((await write('delete', `/v1/vms/${id}`)).status).to.equal(200);
    expect((await write('post', '/v1/auth/link', { token })).status, 'the link was not used up').to.equal(200);
  });

  it('404: another owner’s sandbox does not exist for the caller, on every route', async () => {
    const app = await startApp();
    const [alice, mallory] = [await app.addUser('alice'), await app.addUser('mallory')];
    const id = await app.insert(alice, { metadata: { secret: 'only-alices' } });
    const before = await app.http.get(`/v1/vms/${id}`).set(apiKey(alice));
    // A stream does not end; its own tests check its events.
    for (const { method, path, operation } of operations.filter((each) => each.path !== '/v1/events')) {
      const call = (vmId: string, query: object = {}) =>
        app.http[method as 'get'](path.replace('{vm_id}', vmId)).query(query).set(apiKey(mallory));
      const [hers, nobodys] = [await call(id), await call('i00000000000000000000')];
      expect(hers.text, `${method} ${path}`).not.to.match(new RegExp(`${id}|only-alices`));
      // What needs a machine has its own tests.
      if (path.includes('{vm_id}') && !operation.tags.includes('machine')) {
        const body = method === 'patch' ? { metadata: {} } : undefined;
        const answer = await app.http[method as 'get'](path.replace('{vm_id}', id)).set(apiKey(mallory)).send(body);
        expect(answer.status, `${method} ${path}`).to.equal(404);
      } else if (path === '/v1/sessions/sandboxes') {
        expect((await call(id, { metadata: '{"secret":"only-alices"}' })).body).to.deep.equal([]);
      }
      expect(hers.status).to.equal(nobodys.status);
    }
    expect((await app.http.get(`/v1/vms/${id}`).set(apiKey(alice))).body).to.deep.equal(before.body);
  });

  itHere(
    'one request makes one log line: id, method, route, status, duration, owner, client, sandbox, and no more',
    async () => {
      const app = await startApp();
      const alice = await app.addUser('alice');
      await app.http.get('/v1/vms/i1?metadata=private').set(apiKey(alice)).set('Cookie', 'private');
      await app.logged(/"msg":"request"/);
      const lines = app.log().trim().split('\n');
      expect(lines).to.have.length(1);
      const { level, time, id, duration, ...rest } = JSON.parse(lines[0] as string);
      expect([level, typeof time, typeof duration]).to.deep.equal([30, 'number', 'number']);
      expect(id).to.match(/^[0-9a-f-]{36}$/);
      expect(rest).to.deep.equal({
        method: 'GET',
        route: '/v1/vms/{vm_id}',
        status: 404,
        owner: 'alice',
        client: '127.0.0.1',
        sandbox: 'i1',
        msg: 'request',
      });
    },
  );
});
