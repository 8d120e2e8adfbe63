import { createHash } from 'node:crypto';
import { request } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { growthDuring, type MachineRow, megabytes } from './measured.ts';
import { headersOf, type Sandbox, type Subject } from './server.ts';

type Row = Omit<MachineRow, 'engine'>;

const megabyte = 2 ** 20;
const allowedGrowth = 64 * megabyte;

/**
 * A command that prints 100 MB to a client that reads. The client is a bare one, so that the server
 * is measured: the SDK decodes about 30 MB a second.
 */
export async function measureOutput(subject: Subject, sandbox: Sandbox): Promise<Row[]> {
  const size = 100_000_000;
  await printed(subject, sandbox, 1_000_000);
  const start = performance.now();
  const { result, growth } = await growthDuring(subject.pid, () => printed(subject, sandbox, size));
  const perSecond = size / ((performance.now() - start) / 1000);
  if (result !== size) throw new Error(`${result} of ${size} bytes arrived`);
  return rateRows('100 MB of stdout to a client that reads', perSecond, 50, growth);
}

/** Runs a command that prints so many bytes. Returns how many arrived. */
async function printed({ url }: Subject, sandbox: Sandbox, size: number): Promise<number> {
  const args = ['-c', `head -c ${size} /dev/zero | tr '\\0' x`];
  const message = Buffer.from(JSON.stringify({ process: { cmd: '/bin/bash', args } }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const headers = {
    ...headersOf(sandbox),
    'Content-Type': 'application/connect+json',
    'Connect-Protocol-Version': '1',
  };
  const answer = await fetch(`${url}/process.Process/Start`, {
    method: 'POST',
    headers,
    body: Buffer.concat([head, message]),
  });
  let bytes = 0;
  for await (const event of messagesOf(answer.body as unknown as AsyncIterable<Uint8Array>)) bytes += stdoutIn(event);
  return bytes;
}

/** Yields the messages of a stream of Connect's. */
async function* messagesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let rest = Buffer.alloc(0);
  for await (const chunk of chunks) {
    rest = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    while (rest.length >= 5 && rest.length >= 5 + rest.readUInt32BE(1)) {
      const end = 5 + rest.readUInt32BE(1);
      yield rest.subarray(5, end);
      rest = rest.subarray(end);
    }
  }
}

function stdoutIn(message: Buffer): number {
  const { event } = JSON.parse(message.toString()) as { event?: { data?: { stdout?: string } } };
  return event?.data?.stdout === undefined ? 0 : Buffer.from(event.data.stdout, 'base64').length;
}

/** A file of 500 MB, up and down, with the SHA-256 of both sides compared. */
export async function measureFile(subject: Subject, sandbox: Sandbox): Promise<Row[]> {
  const size = 500 * megabyte;
  const sent = createHash('sha256');
  const upStart = performance.now();
  const up = await growthDuring(subject.pid, () => upload(subject, sandbox, pieces(size)));
  const upPerSecond = size / ((performance.now() - upStart) / 1000);
  for (const piece of pieces(size)) sent.update(piece);
  const expected = sent.digest('hex');
  const { stdout } = await sandbox.commands.run('sha256sum large', { timeoutMs: 0 });
  if (!stdout.startsWith(expected)) throw new Error('the file that arrived differs');
  const downStart = performance.now();
  let downPerSecond = 0;
  const down = await growthDuring(subject.pid, async () => {
    const parts = await download(subject, sandbox);
    downPerSecond = size / ((performance.now() - downStart) / 1000);
    return parts;
  });
  if (down.result !== size) throw new Error(`${down.result} of ${size} bytes came back`);
  const received = createHash('sha256');
  await download(subject, sandbox, (chunk) => received.update(chunk));
  if (received.digest('hex') !== expected) throw new Error('the file that came back differs');
  await sandbox.files.remove('large');
  return [
    ...rateRows('500 MB file up, SHA-256 equal', upPerSecond, 100, up.growth),
    ...rateRows('500 MB file down, SHA-256 equal', downPerSecond, 100, down.growth),
  ];
}

function* pieces(size: number): Generator<Buffer> {
  const piece = Buffer.alloc(megabyte, createHash('sha512').update('sandpit').digest());
  for (let n = 0; n < size / megabyte; n++) {
    const own = Buffer.from(piece);
    own.writeUInt32LE(n);
    yield own;
  }
}

async function upload({ url }: Subject, sandbox: Sandbox, content: Iterable<Buffer>): Promise<void> {
  const asked = request(`${url}/files?path=large`, {
    method: 'POST',
    headers: { ...headersOf(sandbox), 'Content-Type': 'application/octet-stream' },
  });
  const answered = new Promise<number>((resolve, reject) => {
    asked.on('error', reject).on('response', (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
    });
  });
  await pipeline(Readable.from(content), asked);
  const status = await answered;
  if (status !== 200) throw new Error(`the upload was answered ${status}`);
}

/** Reads the file and drops it, or gives it to `take`. Returns its size. */
async function download({ url }: Subject, sandbox: Sandbox, take = (_: Buffer): unknown => null): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request(`${url}/files?path=large`, { headers: headersOf(sandbox) }, (answer) => {
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        take(chunk);
      });
      answer.on('end', () => resolve(bytes)).on('error', reject);
    });
    asked.on('error', reject).end();
  });
}

export function rateRows(what: string, perSecond: number, atLeast: number, growth: number): Row[] {
  return [
    {
      what,
      bar: `at least ${atLeast} MB/s`,
      measured: `${(perSecond / 1e6).toFixed(0)} MB/s`,
      met: perSecond >= atLeast * 1e6,
    },
    {
      what: `${what.split(',')[0]}: growth of the server's memory`,
      bar: 'at most 64 MB',
      measured: megabytes(growth),
      met: growth <= allowedGrowth,
    },
  ];
}
