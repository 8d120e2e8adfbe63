import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import { WebSocket, WebSocketServer } from 'ws';
import { makeDomainCertificate } from '../../helpers/certificate.ts';
import { freePort } from '../../helpers/listen.ts';
import { temporaryDirectory } from '../../helpers/server.ts';
import { until } from '../../helpers/until.ts';
import { usePorts } from '../../ports/ports.ts';

const domain = 'sandboxes.example.com';

/** Returns nginx's configuration in OPERATING.md, with files and ports of this test. */
function documented(files: { cert: string; key: string }, port: number, upstream: string): string {
  const [, server] = /<!-- nginx -->\n```nginx\n([^`]*)```/.exec(readFileSync('OPERATING.md', 'utf8')) ?? [];
  const changed = (server ?? '')
    .replace('/etc/ssl/sandpit/fullchain.pem', files.cert)
    .replace('/etc/ssl/sandpit/privkey.pem', files.key)
    .replace('listen 443 ssl', `listen 127.0.0.1:${port} ssl`)
    .replace('http://127.0.0.1:3000', upstream);
  return `pid nginx.pid; error_log error.log; events {}\nhttp { access_log off;\n${changed}}\n`;
}

describe('nginx in front, as OPERATING.md sets it up', () => {
  const { machine, serve } = usePorts({ domain, trustProxy: 1 });
  let [port, ca, end] = [0, '', async () => undefined as unknown];

  before(async () => {
    const dir = temporaryDirectory();
    const files = await makeDomainCertificate(domain);
    ca = readFileSync(files.ca, 'utf8');
    port = await freePort();
    writeFileSync(join(dir, 'nginx.conf'), documented(files, port, machine.url));
    const nginx = spawn('nginx', ['-p', dir, '-c', 'nginx.conf', '-e', 'error.log', '-g', 'daemon off;']);
    let problem = '';
    nginx.on('error', () => (problem = 'nginx is not installed: apt-get install nginx-light'));
    nginx.stderr.on('data', (bytes) => (problem += bytes));
    end = () => {
      nginx.kill('SIGTERM');
      return once(nginx, 'exit');
    };
    await until('nginx listens', async () => {
      if (problem !== '') throw new Error(problem);
      const socket = connect(port, '127.0.0.1');
      const [event] = await Promise.race([
        once(socket, 'connect').then(() => ['connect']),
        once(socket, 'close').then(() => ['close']),
      ]).catch(() => ['error']);
      socket.destroy();
      return event === 'connect';
    });
  });
  after(() => end());

  const ask = async (host: string, options: { method?: string; body?: Buffer } = {}) => {
    const headers = { Host: host, ...(options.body && { 'Content-Length': options.body.length }) };
    const { method = 'GET' } = options;
    const sent = request({ host: '127.0.0.1', port, servername: host, ca, headers, method, path: '/x?y=1' });
    sent.end(options.body);
    const [answer] = (await once(sent, 'response')) as [IncomingMessage];
    return { status: answer.statusCode, text: await text(answer) };
  };

  it('requests of any size reach a port over TLS, and the program knows how they came', async () => {
    const program = await serve(async (req, res) => {
      const { host, 'x-forwarded-host': outer, 'x-forwarded-proto': scheme, 'x-forwarded-for': client } = req.headers;
      const { length } = await text(req);
      res.end(JSON.stringify([req.url, host, outer, scheme, client, length]));
    });
    const host = `${program}-${machine.id}.${domain}`;
    const body = Buffer.alloc(20 * 2 ** 20, 'x');
    const answer = await ask(host, { method: 'POST', body });
    expect(JSON.parse(answer.text)).to.deep.equal([
      '/x?y=1',
      `localhost:${program}`,
      host,
      'https',
      '127.0.0.1',
      body.length,
    ]);
    expect((await ask(`1-${machine.id}.${domain}`)).status).to.equal(502);
    expect((await ask(`api.${domain}`)).status).to.equal(404);
  });

  it('a WebSocket passes through it', async () => {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    await once(server, 'listening');
    server.on('connection', (socket) => void socket.on('message', (data) => socket.send(String(data))));
    const host = `${(server.address() as { port: number }).port}-${machine.id}.${domain}`;
    const options = { ca, servername: host, headers: { Host: host } };
    const socket = new WebSocket(`wss://127.0.0.1:${port}/`, options);
    await once(socket, 'open');
    const heard: string[] = [];
    socket.on('message', (data) => heard.push(String(data)));
    const sent = Array.from({ length: 1000 }, (_, n) => String(n));
    for (const message of sent) socket.send(message);
    await until('all have come back', () => heard.length === sent.length);
    expect(heard).to.deep.equal(sent);
    socket.terminate();
    server.close();
  });
});
