import { once } from 'node:events';
import { truncateSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { text as readText } from 'node:stream/consumers';
import { expect } from 'chai';
import { type Machine, startMachine, useMachine } from '../../helpers/clients/machine-client.ts';
import { itHere } from '../../helpers/server.ts';

/** The bound of `app/http/streams/streams.ts`. */
const maxOpenOfSandbox = 256;

describe('uploads and downloads that last', () => {
  const machine = useMachine({ requestSeconds: 2, maxConcurrent: 4 });

  itHere('an upload may take longer than a request, as long as bytes arrive', async () => {
    const ordinary = await open(machine);
    ordinary.write('POST /v1/vms HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{');
    let isCut = false;
    const answer = readText(ordinary).finally(() => {
      isCut = true;
    });
    const upload = await begin(machine, 'slow.txt', 1_000_000, '');
    let sent = 0;
    while (!isCut) {
      upload.write('x');
      sent++;
      await machine.call('/health');
    }
    expect(await answer).to.match(/^HTTP\/1\.1 (408|401)/);
    upload.write('x'.repeat(1_000_000 - sent));
    expect(String((await once(upload, 'data'))[0])).to.match(/^HTTP\/1\.1 200/);
    upload.destroy();
    expect(await content(machine, 'slow.txt')).to.equal('x'.repeat(1_000_000));
  });

  it('408: an upload of which nothing arrives any more; what has arrived is there', async () => {
    const upload = await begin(machine, 'stalled.txt', 100, 'a part');
    const answer = await readText(upload);
    expect(answer).to.match(/^HTTP\/1\.1 408 /);
    expect(answer).to.contain('{"code":408,"message":"Nothing of the body arrived for 2 seconds"}');
    await becomes(machine, 'stalled.txt', 'a part');
    const form = await machine.call('/files', {
      method: 'POST',
      headers: { ...machine.headers, 'Content-Type': 'multipart/form-data; boundary=b' },
      body: stalling('--b\r\nContent-Disposition: form-data; name="file"; filename="f.txt"\r\n\r\nbegun') as never,
      duplex: 'half',
    } as never);
    expect([form.status, form.json().code]).to.deep.equal([408, 408]);
    await becomes(machine, 'f.txt', 'begun');
    const joining = await machine.call('/files/compose', {
      method: 'POST',
      headers: { ...machine.headers, 'Content-Type': 'application/json' },
      body: stalling('{') as never,
      duplex: 'half',
    } as never);
    expect([joining.status, joining.json().code]).to.deep.equal([408, 408]);
  });

  it('a body ends where its Content-Length says', async () => {
    const upload = await begin(
      machine,
      'long.txt',
      5,
      '12345GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    );
    expect((await readText(upload)).match(/HTTP\/1\.1 \d+ \w+/g)).to.deep.equal(['HTTP/1.1 200 OK', 'HTTP/1.1 200 OK']);
    expect(await content(machine, 'long.txt')).to.equal('12345');
  });

  itHere('a sandbox that is killed cuts its downloads at once', async () => {
    const [{ path }] = JSON.parse((await machine.write('cut', 'x')).text);
    truncateSync(path, 2 ** 31);
    const other = await startMachine(machine.app, machine.url);
    const response = await download(other, path);
    const cut = once(response, 'error');
    await machine.app.http.delete(`/sandboxes/${other.id}`).set('X-API-Key', other.owner.key);
    response.resume();
    expect((await cut)[0].code).to.equal('ECONNRESET');
    expect((await other.read(path)).status).to.equal(502);
  });
});

describe('many uploads at once, and slow clients', () => {
  const begun = maxOpenOfSandbox + 4;
  const machine = useMachine({ maxConcurrent: begun });

  it('429: more of one sandbox than may be open; they hold no places of other requests', async () => {
    const uploads = await Promise.all(Array.from({ length: begun }, (_, n) => begin(machine, `held-${n}`, 100, 'x')));
    const refused: string[] = [];
    await new Promise<void>((resolve) => {
      for (const upload of uploads) {
        upload.on('data', (text) => {
          refused.push(String(text));
          if (refused.length === begun - maxOpenOfSandbox) resolve();
        });
      }
    });
    for (const answer of refused) {
      expect(answer)
        .to.match(/^HTTP\/1\.1 429 /)
        .and.contain('The sandbox has 256 open streams already');
      expect(answer).to.contain('\r\nRetry-After: 1\r\n');
    }
    const list = () => machine.app.http.get('/v1/vms').set('X-API-Key', machine.owner.key);
    const answers = await Promise.all(Array.from({ length: 50 }, list));
    expect(answers.map(({ status }) => status)).to.deep.equal(Array(50).fill(200));
    expect((await machine.read('held-0')).status).to.equal(429);
    const joining = { method: 'POST', body: '{"source_paths":["held-0"],"destination":"b"}' };
    expect((await machine.call('/files/compose', joining)).status).to.equal(429);
    expect((await machine.write('one-more', 'x')).status).to.equal(429);
    for (const upload of uploads) upload.destroy();
    while ((await machine.read('held-0')).status === 429);
  });

  it('an upload that its client gives up leaves what has arrived, and no error in the log', async () => {
    const upload = await begin(machine, 'given-up.txt', 100, 'a part');
    await becomes(machine, 'given-up.txt', 'a part');
    upload.destroy();
    await machine.app.logged(/"status":499/);
    expect(await content(machine, 'given-up.txt')).to.equal('a part');
    expect(machine.app.log()).not.to.match(/"level":[56]0/);
  });

  itHere('a client that stops reading is waited for, and holds up nobody', async () => {
    const size = 2 ** 31;
    while ((await machine.read('any')).status === 429);
    const [{ path }] = JSON.parse((await machine.write('sparse', 'x')).text);
    truncateSync(path, size);
    const before = process.memoryUsage().arrayBuffers;
    const response = await download(machine, 'sparse');
    expect(response.headers['content-length']).to.equal(String(size));
    for (let n = 0; n < 200; n++) await machine.write(`other-${n}`, 'x'.repeat(100_000));
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(2 ** 28);
    let length = 0;
    for await (const piece of response) {
      length += piece.length;
      if (length > 2 ** 26) break;
    }
    expect(length).to.be.above(2 ** 26);
    response.destroy();
  });
});

async function open({ url }: Machine): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  // The server may cut it.
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Sends the head of an upload, and the beginning of its body. */
async function begin(machine: Machine, path: string, length: number, start: string): Promise<Socket> {
  const socket = await open(machine);
  socket.write(
    `POST /files?path=${path} HTTP/1.1\r\nHost: x\r\nE2b-Sandbox-Id: ${machine.id}\r\n` +
      `X-Access-Token: ${machine.token}\r\nContent-Type: application/octet-stream\r\n` +
      `Content-Length: ${length}\r\n\r\n${start}`,
  );
  return socket;
}

async function content(machine: Machine, path: string): Promise<string> {
  return (await machine.read(path)).text;
}

async function becomes(machine: Machine, path: string, expected: string): Promise<void> {
  while ((await content(machine, path)) !== expected);
}

/** Begins a download and reads nothing of its body. */
async function download({ url, headers }: Machine, path: string): Promise<IncomingMessage> {
  const request = get(`${url}/files?path=${path}`, { headers, agent: false });
  request.on('error', () => {});
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  return response;
}

/** Yields a text, and then nothing. */
async function* stalling(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
  await new Promise(() => {});
}
