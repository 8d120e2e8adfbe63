import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { expect } from 'chai';
import { startMachine } from '../helpers/clients/machine-client.ts';
import { until } from '../helpers/until.ts';
import { usePorts } from './ports.ts';

describe('hostile programs at ports of a sandbox', () => {
  const { machine, serveRaw, serve, begin, ask } = usePorts();
  const answering = (bytes: string) =>
    serveRaw((socket) => void socket.once('data', () => socket.end(bytes, 'latin1')));

  it('502: what is no answer in HTTP', async () => {
    for (const bytes of [
      'garbage',
      'SSH-2.0-OpenSSH_9.2\r\n',
      'HTTP/1.1 abc\r\n\r\n',
      'HTTP/1.1 099 Low\r\n\r\n',
      'HTTP/1.1 200 a\x01b\r\nContent-Length: 0\r\n\r\n',
      'HTTP/1.1 200 OK\r\nX-Bad: a\x01b\r\nContent-Length: 0\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
      `HTTP/1.1 200 OK\r\nX-Large: ${'x'.repeat(70_000)}\r\n\r\n`,
      '',
    ]) {
      const { status, text } = await ask(await answering(bytes));
      expect(status, bytes.slice(0, 30)).to.equal(502);
      expect(JSON.parse(text).message, bytes.slice(0, 30)).to.match(/^The program at the port (did not|broke)/);
    }
  });

  it('an answer that breaks off does not look whole', async () => {
    for (const begin_ of ['Content-Length: 100', 'Transfer-Encoding: chunked']) {
      const port = await answering(`HTTP/1.1 200 OK\r\n${begin_}\r\n\r\n5\r\nhello`);
      const sent = begin(port);
      sent.end();
      const [answer] = (await once(sent, 'response')) as [IncomingMessage];
      const error = await buffer(answer).then(
        () => null,
        (reason: Error) => reason,
      );
      expect(error?.message, begin_).to.equal('aborted');
    }
  });

  it('one that announces its answer without end and never answers holds nothing up', async () => {
    let told = 0;
    const left = Promise.withResolvers<void>();
    const port = await serveRaw((socket) => {
      const tell = () => {
        while (told < 10_000 && socket.write('HTTP/1.1 102 Processing\r\n\r\n')) told++;
      };
      socket
        .on('drain', tell)
        .once('data', tell)
        .on('end', () => left.resolve());
    });
    const sent = begin(port);
    let heard = 0;
    sent
      .on('information', () => heard++)
      .on('error', () => undefined)
      .end();
    await until('it has told', () => told === 10_000);
    expect((await ask(await serve((_req, res) => res.end('fine')))).text).to.equal('fine');
    expect(heard).to.be.at.most(16);
    sent.destroy();
    await left.promise;
  });

  it('a slow client slows the program, and not the server’s memory', async () => {
    let written = 0;
    const total = 64 * 2 ** 20;
    const piece = Buffer.alloc(2 ** 16, 'x');
    const port = await serve((_req, res) => {
      const write = () => {
        while (written < total) {
          written += piece.length;
          if (!res.write(piece)) return void res.once('drain', write);
        }
        res.end();
      };
      write();
    });
    const sent = begin(port);
    sent.end();
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    answer.pause();
    let before = -1;
    await until('the program waits', async () => {
      const isStill = before === written;
      before = written;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return isStill;
    });
    // The rest is in the sockets' buffers, of which the kernel has several.
    expect(written).to.be.below(32 * 2 ** 20);
    let length = 0;
    for await (const bytes of answer) length += bytes.length;
    expect(length).to.equal(total);
  });

  it('429 beyond 256 requests at once to one sandbox, and others still get through', async () => {
    const held: Socket[] = [];
    const port = await serveRaw((socket) => void held.push(socket));
    const waiting = Array.from({ length: 256 }, () => begin(port).on('error', () => undefined));
    for (const each of waiting) each.end();
    await until('all wait', () => held.length === 256);
    const refused = await ask(port);
    expect([refused.status, refused.headers['retry-after'], refused.headers['should-retry']]).to.deep.equal([
      429,
      '1',
      'true',
    ]);
    const other = await startMachine(machine.app, machine.url);
    const open = await serve((_req, res) => res.end('other'));
    expect((await ask(open, { headers: { Host: `${open}-${other.id}.localhost` } })).text).to.equal('other');
    for (const each of waiting) each.destroy();
    await until('there is room', async () => (await ask(open)).status === 200);
  });

  it('502: a machine that dies while it is asked', async () => {
    const asked = Promise.withResolvers<void>();
    const port = await serveRaw((socket) => void socket.once('data', () => asked.resolve()));
    const other = await startMachine(machine.app, machine.url);
    const answer = ask(port, { headers: { Host: `${port}-${other.id}.localhost` } });
    await asked.promise;
    await machine.app.http.delete(`/sandboxes/${other.id}`).set('X-API-Key', other.owner.key);
    const { status, text } = await answer;
    expect([status, JSON.parse(text).message]).to.deep.equal([502, 'The sandbox was not found']);
  });
});
