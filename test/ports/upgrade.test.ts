import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { WebSocket, WebSocketServer } from 'ws';
import { listen } from '../helpers/listen.ts';
import { usePorts } from './ports.ts';

describe('other protocols at ports of a sandbox', () => {
  const { machine, serveRaw, serve, begin, ask } = usePorts();
  const echoes: WebSocketServer[] = [];
  /** A program that echoes what it gets over a WebSocket. */
  const echo = async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    echoes.push(server);
    await once(server, 'listening');
    server.on(
      'connection',
      (socket) => void socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
    );
    return { server, port: (server.address() as { port: number }).port };
  };
  afterEach(() => {
    for (const server of echoes.splice(0)) {
      for (const client of server.clients) client.terminate();
      server.close();
    }
  });
  const connect = (port: number, headers: Record<string, string> = {}) =>
    new WebSocket(machine.url.replace('http', 'ws'), {
      headers: { Host: `${port}-${machine.id}.localhost`, ...headers },
    });

  it('a WebSocket echoes 1,000 messages in order, small and large', async () => {
    const { port } = await echo();
    const socket = connect(port);
    await once(socket, 'open');
    const sent = Array.from({ length: 1000 }, (_, n) => `${n} `.repeat(n % 100 === 0 ? 20_000 : 1));
    const heard: string[] = [];
    const all = new Promise<void>((resolve) => {
      socket.on('message', (data) => {
        heard.push(String(data));
        if (heard.length === sent.length) resolve();
      });
    });
    for (const message of sent) socket.send(message);
    await all;
    expect(heard).to.deep.equal(sent);
    socket.close(1000, 'done');
    const [code, reason] = await once(socket, 'close');
    expect([code, String(reason)]).to.deep.equal([1000, 'done']);
    await machine.app.logged(/"status":101(?!.*aborted)/);
  });

  it('a program sees a WebSocket from its own host, and others as they are', async () => {
    const { server, port } = await echo();
    const origins: unknown[] = [];
    server.on('connection', (_socket, { headers: { origin, host } }) => void origins.push([origin, host]));
    const own = `${port}-${machine.id}.localhost`;
    for (const Origin of [`https://${own}`, 'https://evil.example.com']) {
      const socket = connect(port, { Origin });
      await once(socket, 'open');
      socket.terminate();
    }
    expect(origins).to.deep.equal([
      [`http://localhost:${port}`, `localhost:${port}`],
      ['https://evil.example.com', `localhost:${port}`],
    ]);
  });

  it('any protocol passes, with what was sent too early, and either side may end first', async () => {
    const server = createServer();
    server.on('upgrade', (_req: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.write('HTTP/1.1 101 Fine\r\nConnection: Upgrade\r\nUpgrade: shout\r\nX-Own: 1\r\n\r\nhello ');
      socket.on('error', () => undefined);
      text(socket).then((rest) => socket.end(`${head}${rest}`.toUpperCase()));
    });
    const port = await listen(server);
    const sent = begin(port, { headers: { Connection: 'Upgrade', Upgrade: 'shout' } });
    sent.end();
    const [answer, socket, head] = (await once(sent, 'upgrade')) as [IncomingMessage, Duplex, Buffer];
    expect([answer.statusMessage, answer.headers.upgrade, answer.headers['x-own']]).to.deep.equal([
      'Fine',
      'shout',
      '1',
    ]);
    expect(answer.headers).not.to.have.property('x-request-id');
    socket.end('and bye');
    expect(`${head}${await text(socket)}`).to.equal('hello AND BYE');
    server.close();
  });

  it('a program may refuse, or know nothing of it', async () => {
    const refusing = await serveRaw((socket) => socket.end('HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno!'));
    const headers = { Connection: 'Upgrade', Upgrade: 'websocket' };
    const { status, text: body } = await ask(refusing, { headers });
    expect([status, body]).to.deep.equal([403, 'no!']);
    const plain = await serve((req, res) => res.end(`plain ${req.method}`));
    expect((await ask(plain, { headers })).text).to.equal('plain GET');
    expect(
      (await ask(plain, { method: 'POST', body: 'x', headers: { Connection: 'Upgrade', Upgrade: 'h2c' } })).text,
    ).to.equal('plain POST');
    const socket = connect(1);
    const [error] = await once(socket, 'error');
    expect(error.message).to.contain('502');
  });

  it('502: a program that upgrades a connection unasked', async () => {
    const port = await serveRaw((socket) =>
      socket.write('HTTP/1.1 101 Surprise\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
    );
    expect((await ask(port)).status).to.equal(502);
  });

  it('ends when the sandbox does', async () => {
    const { port } = await echo();
    const socket = connect(port);
    await once(socket, 'open');
    await machine.app.http.delete(`/sandboxes/${machine.id}`).set('X-API-Key', machine.owner.key);
    await once(socket, 'close');
    expect((await ask(port)).status).to.equal(502);
  });
});
