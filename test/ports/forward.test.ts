import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { buffer, text } from 'node:stream/consumers';
import { expect } from 'chai';
import { freePort } from '../helpers/listen.ts';
import { answerOf, usePorts } from './ports.ts';

describe('HTTP to ports of a sandbox', () => {
  const { machine, serve, begin, ask } = usePorts();

  it('reaches a program with every method, and its answer comes back as it is', async () => {
    const port = await serve(async (req, res) => {
      res.writeHead(req.method === 'DELETE' ? 404 : 201, 'Made', [
        'Set-Cookie',
        'a=1',
        'Set-Cookie',
        'b=2',
        'X-Case',
        'é',
      ]);
      res.end(`${req.method} ${req.url} ${await text(req)}`);
    });
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']) {
      const body = method === 'GET' || method === 'OPTIONS' ? '' : 'body';
      const answer = await ask(port, { method, path: '/a%2fb//c/../%41?x=%zz&x=2', body });
      expect(answer.status, method).to.equal(method === 'DELETE' ? 404 : 201);
      expect(answer.text).to.equal(`${method} /a%2fb//c/../%41?x=%zz&x=2 ${body}`);
      expect(answer.headers['set-cookie']).to.deep.equal(['a=1', 'b=2']);
      expect(answer.raw).to.include('X-Case');
      // Nothing of Sandpit's own.
      for (const name of [
        'content-security-policy',
        'cache-control',
        'x-request-id',
        'x-frame-options',
        'ratelimit-limit',
      ])
        expect(answer.headers, name).not.to.have.property(name);
    }
  });

  it('is named by the headers as well, at any host', async () => {
    const port = await serve((_req, res) => res.end('by header'));
    const named = { 'E2b-Sandbox-Id': machine.id, 'E2b-Sandbox-Port': String(port) };
    for (const Host of ['127.0.0.1', 'sandbox.localhost', 'api.example.com:80'])
      expect((await ask(port, { headers: { Host, ...named } })).text, Host).to.equal('by header');
    const { 'E2b-Sandbox-Id': _, ...nobody } = named;
    expect((await ask(port, { headers: { Host: 'sandbox.localhost', ...nobody } })).status).to.equal(400);
    for (const bad of ['0', '65536', 'x', '1e3', '-1'])
      expect((await ask(port, { headers: { ...named, Host: 'a', 'E2b-Sandbox-Port': bad } })).status, bad).to.equal(
        400,
      );
    expect((await ask(port, { headers: { Host: `99999-${machine.id}.localhost` } })).status).to.equal(400);
  });

  it('tells a program who asks, and keeps Sandpit’s credentials from it', async () => {
    const port = await serve((req, res) => res.end(JSON.stringify(req.headers)));
    const key = `e2b_${'1'.repeat(40)}`;
    const sent = {
      'X-Access-Token': machine.token,
      'E2b-Traffic-Access-Token': 't',
      'X-API-Key': key,
      Authorization: `Bearer ${key}`,
      'X-Forwarded-For': '1.2.3.4',
      Forwarded: 'for=1.2.3.4',
      Connection: 'keep-alive, X-Hop',
      'X-Hop': '1',
      'X-Mine': 'kept',
    };
    const seen = JSON.parse((await ask(port, { headers: sent })).text);
    expect(seen).to.deep.equal({
      host: `localhost:${port}`,
      'x-mine': 'kept',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': `${port}-${machine.id}.localhost`,
      'x-forwarded-proto': 'http',
      connection: 'keep-alive',
    });
    const own = { 'X-API-Key': 'theirs', Authorization: 'Basic eDp5' };
    expect(JSON.parse((await ask(port, { headers: own })).text)).to.include({
      'x-api-key': 'theirs',
      authorization: 'Basic eDp5',
    });
  });

  it('streams both ways at once, larger bodies than Sandpit’s own operations take', async () => {
    const port = await serve((req, res) => void req.pipe(res));
    const sent = begin(port, { method: 'POST' });
    sent.write('first');
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    expect(String((await once(answer, 'data'))[0])).to.equal('first');
    const more = Buffer.alloc(5 * 2 ** 20, 'more ');
    sent.end(more);
    expect((await buffer(answer)).equals(more)).to.equal(true);
  });

  it('sends events as they happen, and tells the program when the client leaves', async () => {
    const left = Promise.withResolvers<void>();
    const port = await serve((_req, res) => {
      res.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
      res.once('close', left.resolve);
      res.write('data: one\n\n');
    });
    const sent = begin(port);
    sent.end();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    expect(String((await once(answer, 'data'))[0])).to.equal('data: one\n\n');
    sent.on('error', () => undefined).destroy();
    await left.promise;
  });

  it('keeps HEAD, 204, 304, trailers, early hints and an answer without a length as they are', async () => {
    const port = await serve((req, res) => {
      if (req.url === '/head') return void res.writeHead(200, { 'Content-Length': 12 }).end();
      if (req.url === '/304') return void res.writeHead(304, { ETag: '"x"' }).end();
      if (req.url === '/204') return void res.writeHead(204).end();
      if (req.url === '/hints') res.writeEarlyHints({ link: '</a.css>; rel=preload; as=style' });
      res.writeHead(200, { Trailer: 'X-Sum' });
      res.write('body');
      res.addTrailers({ 'X-Sum': '4' });
      res.end();
    });
    const head = await ask(port, { method: 'HEAD', path: '/head' });
    expect([head.status, head.headers['content-length'], head.text]).to.deep.equal([200, '12', '']);
    expect((await ask(port, { path: '/304' })).headers).to.include({ etag: '"x"' });
    expect((await ask(port, { path: '/204' })).status).to.equal(204);
    const sent = begin(port, { path: '/hints' });
    sent.end();
    const hinted = once(sent, 'information');
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    const [hint] = await hinted;
    expect([hint.statusCode, hint.headers.link]).to.deep.equal([103, '</a.css>; rel=preload; as=style']);
    expect((await answerOf(answer)).text).to.equal('body');
    expect(answer.trailers).to.deep.equal({ 'x-sum': '4' });
  });

  it('uses a connection to a program again, and another if the program breaks that off', async () => {
    const answered = new Map<unknown, number>();
    const port = await serve((req, res) => {
      const count = (answered.get(req.socket) ?? 0) + 1;
      answered.set(req.socket, count);
      if (count === 3) req.socket.resetAndDestroy();
      else res.end('ok');
    });
    for (let n = 0; n < 6; n++) expect((await ask(port)).text).to.equal('ok');
    expect(answered.size).to.be.within(3, 5);
    expect((await ask(port, { method: 'POST', body: 'x' })).text).to.equal('ok');
  });

  it('502: a closed port, for programs and for browsers; a sandbox that nobody has', async () => {
    const port = await freePort();
    const closed = await ask(port);
    expect([closed.status, JSON.parse(closed.text)]).to.deep.equal([
      502,
      { sandboxId: machine.id, message: 'The sandbox is running but port is not open', port, code: 502 },
    ]);
    expect(closed.headers).to.include({ 'should-retry': 'false', 'access-control-allow-origin': '*' });
    expect(closed.headers).to.have.property('content-security-policy');
    const page = await ask(port, { headers: { Accept: 'text/html,*/*' } });
    expect([page.status, page.headers['content-type']]).to.deep.equal([502, 'text/html; charset=utf-8']);
    expect(page.text).to.contain('port is not open').and.to.contain(`Port ${port} of sandbox ${machine.id}`);
    const lost = await ask(port, { headers: { Host: `${port}-i00000000000000000000.localhost` } });
    const expected = { sandboxId: 'i00000000000000000000', message: 'The sandbox was not found', code: 502 };
    expect([lost.status, JSON.parse(lost.text)]).to.deep.equal([502, expected]);
    const page2 = await ask(port, {
      headers: { Host: 'a', Accept: 'text/html', 'E2b-Sandbox-Id': '<b>', 'E2b-Sandbox-Port': '1' },
    });
    expect(page2.text).to.contain('&#60;b&#62;').and.not.to.contain('<b>');
  });
});
