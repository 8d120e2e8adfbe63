import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { closeAll, rawServer, sayRaw, serverOf, watched } from './helpers.ts';

const list = '/v1/sessions/sandboxes';
const json = { 'Content-Type': 'application/json' };
/** All 256 bytes. */
const bytes = String.fromCharCode(...Array(256).keys());

describe('the proxy forwards', () => {
  afterEach(closeAll);

  it('a request unchanged: request line, headers in order and spelling, bytes', async () => {
    const target = await rawServer(bytes, 'HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n');
    const { url } = await watched(`${target.url}/prefix/`);
    const line = 'POST //a/../%2e%zz?x=%20+&&x=1;?|^#{"a":[]} HTTP/1.1\r\n';
    const kept = 'X-Odd: 1\r\nx-odd:  2\r\nX-ODD: \xe9\r\nCookie: a=b\r\nCookie: c=d\r\nContent-Length: 256\r\n';
    const own = 'Host: elsewhere:1\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTE: trailers\r\n';
    await sayRaw(url, `${line}${own}${kept}\r\n${bytes}`);
    const passed = `${line.replace('//a', '/prefix//a')}Host: ${new URL(target.url).host}\r\n${kept}`;
    expect(target.received()).to.equal(`${passed.replace(':  ', ': ')}Connection: keep-alive\r\n\r\n${bytes}`);
  });

  it('a response unchanged: status, reason, headers in order and spelling, bytes', async () => {
    const kept = 'Set-Cookie: a=1\r\nset-cookie: b=2\r\nX-Odd: \xe9\r\nDate: never\r\nContent-Length: 256\r\n';
    const answer = `HTTP/1.1 299 Fine, \xe9\r\n${kept}`;
    const target = await rawServer('\r\n\r\n', `${answer}Connection: X-Hop\r\nX-Hop: 1\r\n\r\n${bytes}`);
    const { url } = await watched(target.url);
    expect(await sayRaw(url, 'GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).to.equal(
      `${answer}Connection: close\r\n\r\n${bytes}`,
    );
    expect(target.received()).to.match(/^GET \/x HTTP\/1\.1\r\nHost: \S+\r\nConnection: keep-alive\r\n\r\n$/);
  });

  it('bodies of unknown length, trailers, and no body if there is none', async () => {
    const chunked = (body: string) => `Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n@\r\n${body}`;
    const body = '3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n';
    const target = await rawServer(body, `HTTP/1.1 200 OK\r\n${chunked(body).replace('@', 'Connection: close\r\n')}`);
    const { url } = await watched(target.url);
    const answer = await sayRaw(
      url,
      `PUT / HTTP/1.1\r\nHost: x\r\n${chunked(body).replace('@', 'Connection: close\r\n')}`,
    );
    expect(target.received())
      .to.contain('\r\nTransfer-Encoding: chunked\r\n')
      .and.to.match(/\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n$/);
    expect(answer)
      .to.contain('\r\nTransfer-Encoding: chunked\r\n')
      .and.to.match(/\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n$/);
    const bare = await rawServer('\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n');
    const { url: other } = await watched(bare.url);
    expect(await sayRaw(other, 'HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')).to.contain(
      'Content-Length: 9',
    );
    expect(bare.received()).not.to.match(/transfer-encoding|content-length/i);
  });

  it("a body only after the target's 100 Continue", async () => {
    const target = await serverOf((_req, res) => void res.writeHead(417).end());
    const { url } = await watched(target);
    const head =
      'POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n';
    expect(await sayRaw(url, head)).to.match(/^HTTP\/1\.1 (100 Continue\r\n\r\nHTTP\/1\.1 )?417 /);
  });

  it('the response to a request that waits for 100 Continue while the proxy stops', async () => {
    const asked = Promise.withResolvers<ServerResponse>();
    const { url, summary } = await watched(await serverOf((_req, res) => asked.resolve(res)));
    const head = 'POST /x HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1';
    const answer = sayRaw(url, head);
    const target = await asked.promise;
    const stopped = summary();
    target.end('late');
    expect(await answer).to.match(/HTTP\/1\.1 200 OK[\s\S]*late/);
    await stopped;
  });

  it('events as they arrive', async () => {
    let finish = () => {};
    const target = await serverOf((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
      res.write('data: 1\n\n');
      finish = () => void res.end('data: 2\n\n');
    });
    const { url, summary } = await watched(target);
    const response = await fetch(`${url}/v1/vms/i1`);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader?.read())?.value, 'before the target has ended').to.equal('data: 1\n\n');
    finish();
    expect((await reader?.read())?.value).to.equal('data: 2\n\n');
    expect((await summary()).unchecked).to.equal(1);
  });

  it('large bodies in both directions, unchecked if they are too large to buffer', async () => {
    const large = JSON.stringify(Array(5_000_000).fill(1));
    const lengths: number[] = [];
    const target = await serverOf(async (req, res) => {
      lengths.push((await text(req)).length);
      res.writeHead(200, { ...json, 'Content-Encoding': req.headers['x-coding'] ?? 'identity' });
      res.end(req.headers['x-coding'] ? gzipSync(large.repeat(2)) : large);
    });
    const { url, summary, lines } = await watched(target);
    const headers = { 'X-API-Key': 'k', ...json };
    expect((await (await fetch(url + list, { headers })).text()) === large).to.equal(true);
    const coded = await fetch(url + list, { headers: { ...headers, 'X-Coding': 'gzip' } });
    expect((await coded.text()).length).to.equal(2 * large.length);
    await (await fetch(`${url}/v1/vms`, { method: 'POST', headers, body: large })).text();
    expect(lengths).to.deep.equal([0, 0, large.length]);
    expect(await summary()).to.include({ requests: 3, checkedRequests: 3, checkedResponses: 0, unchecked: 3 });
    expect(lines()).to.include('#3 POST /v1/vms  request  The request body is larger than 1048576 bytes');
  });

  it("more headers than Node's default limit", async () => {
    const cookies = Array.from({ length: 30 }, (_, n) => `c${n}=${'x'.repeat(1000)}`);
    const target = await serverOf((_req, res) => void res.writeHead(200, { ...json, 'Set-Cookie': cookies }).end('[]'));
    const { url } = await watched(target);
    // fetch does not accept as many, either.
    const answer = await sayRaw(url, `GET ${list} HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nConnection: close\r\n\r\n`);
    expect(answer)
      .to.match(/^HTTP\/1\.1 200 /)
      .and.to.contain(`\r\nSet-Cookie: ${cookies[29]}\r\n`);
  });

  it('a response to a request whose body never completes', async () => {
    const target = await serverOf((_req, res) => void res.writeHead(413, { ...json, Connection: 'close' }).end('{}'));
    const { url, summary } = await watched(target);
    const { port, hostname } = new URL(url);
    const socket = connect(Number(port), hostname, () => {
      socket.write('POST /v1/vms HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nContent-Length: 1000\r\n\r\n{');
    });
    const [answer] = await once(socket, 'data');
    expect(String(answer)).to.match(/^HTTP\/1\.1 413 /);
    socket.destroy();
    expect(await summary()).to.include({ requests: 1, unreachable: 0, unanswered: 0 });
  });

  it('a disconnect of the client and of the target', async () => {
    const asked = Promise.withResolvers<ServerResponse>();
    const target = await serverOf((req, res) => {
      if (req.url === '/health') return void res.writeHead(200, json).write('{', () => res.destroy());
      asked.resolve(res);
    });
    const { url, summary } = await watched(target);
    const leaving = new AbortController();
    const left = fetch(url + list, { signal: leaving.signal }).catch(({ name }) => name);
    const gone = once(await asked.promise, 'close');
    leaving.abort();
    expect(await left).to.equal('AbortError');
    await gone;
    const cut = await fetch(`${url}/health`)
      .then((response) => response.text())
      .catch(() => 'broken off');
    expect(cut).to.equal('broken off');
    expect(await summary()).to.include({ incomplete: 1, unreachable: 0 });
  });
});

it('reports a target that closes the connection without a response', async () => {
  const { url, summary } = await watched(await serverOf((req) => req.socket.destroy()));
  const answer = await fetch(url + list, { headers: { 'X-API-Key': 'k' } });
  expect(answer.status).to.equal(502);
  expect(((await answer.json()) as { detail: string }).detail).to.match(/ gave no answer: socket hang up$/);
  expect(await summary()).to.include({ unreachable: 0, unanswered: 1 });
});

it("returns 502 in the path's dialect if the target is down, and counts it separately", async () => {
  const { url, summary, lines } = await watched('http://127.0.0.1:1');
  const headers = { 'X-API-Key': 'k', ...json };
  const down = await fetch(url + list, { headers });
  expect(down.status).to.equal(502);
  const message = "The target http://127.0.0.1:1 can't be reached: connect ECONNREFUSED 127.0.0.1:1";
  expect(await down.json()).to.deep.equal({ detail: message });
  const sandbox = await fetch(`${url}/sandboxes`, { method: 'POST', headers, body: '{"templateID":"base"}' });
  expect(await sandbox.json()).to.deep.equal({ code: 502, message });
  expect(await summary()).to.include({ requests: 2, checkedRequests: 2, unreachable: 2, breaches: 0 });
  expect(lines()).to.deep.equal([]);
});
