import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { residentMebibytes, withBystander } from './helpers/bystander.ts';
import { halfOpen, repeats, slowClients } from './helpers/scale.ts';
import { statusesIn, useTarget } from './helpers/target.ts';
import { abuse, counted } from './runner/record.ts';

const maxConnections = Math.floor(halfOpen * 0.8);
const form = 'Content-Type: application/x-www-form-urlencoded';

describe('abuse: floods', () => {
  const target = useTarget('--request-seconds', '2', '--max-connections', `${maxConnections}`);
  let key: string;
  before(async () => {
    key = await target().addUser('alice');
  });

  const flood = (sent: string, expected: string, attack: () => Promise<string>) =>
    abuse('flood', sent, expected, () => withBystander(sent, target(), key, attack));

  /** Opens connections a few at a time, so that the listener's backlog never overflows. */
  const connections = async (count: number): Promise<Client[]> => {
    const opened: Client[] = [];
    while (opened.length < count) {
      const batch = Array.from({ length: Math.min(200, count - opened.length) }, () => clientOf(target().port));
      await Promise.all(batch.map(({ isOpen }) => isOpen));
      opened.push(...batch);
    }
    return opened;
  };
  const answers = async (clients: Client[]) => counted(await Promise.all(clients.map(({ answer }) => answer)));

  flood(`${slowClients} clients that send a header every 100 ms`, `408 x ${slowClients}`, async () => {
    const clients = await connections(slowClients);
    for (const { socket } of clients) dribble(socket, 'GET /health HTTP/1.1\r\nHost: x\r\n', 'X-Slow: y\r\n');
    return answers(clients);
  });

  flood(`${slowClients} clients that send a byte of a body every 100 ms`, `408 x ${slowClients}`, async () => {
    const clients = await connections(slowClients);
    const head = `POST /v1/auth/token HTTP/1.1\r\nHost: x\r\n${form}\r\nContent-Length: 100000\r\n\r\n`;
    for (const { socket } of clients) dribble(socket, head, 'x');
    return answers(clients);
  });

  flood(`${halfOpen} connections that say nothing, ${maxConnections} being the most`, 'all closed', async () => {
    const clients = await connections(halfOpen);
    const said = await Promise.all(clients.map(({ answer }) => answer));
    // Either evicted by a later connection or answered 408 at the deadline for headers.
    return said.every((status) => status === 'closed' || status === '408') ? 'all closed' : counted(said);
  });

  flood(`${repeats} times a header of 200 KB`, `431 x ${repeats}`, async () => {
    const head = `GET /health HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(200_000)}\r\n\r\n`;
    const said = await Promise.all(Array.from({ length: repeats }, () => target().say(head)));
    return counted(said.map(statusesIn));
  });

  flood(`${repeats} times 1 MB of [ and of keys, 20 at a time`, `413 x ${repeats}, 422 x ${repeats}`, async () => {
    const keys = `{${Array.from({ length: 90_000 }, (_, n) => `"k${n}":1`).join()}}`;
    const bodies = Array.from({ length: 10 }, () => ['['.repeat(1_000_000), `${keys.padEnd(2 ** 20)} `]).flat();
    const headers = { 'X-API-Key': key };
    const ask = async (body: string) => (await target().ask('POST', '/v1/vms', { headers, body })).status;
    const statuses: number[] = [];
    while (statuses.length < repeats * 2) statuses.push(...(await Promise.all(bodies.map(ask))));
    return counted(statuses);
  });

  flood('2,000 requests in one packet', 'at most 100 answers', async () => {
    const said = await target().say('GET /health HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2000));
    const count = statusesIn(said).split(', ').length;
    return count <= 100 ? 'at most 100 answers' : `${count} answers`;
  });

  flood(`${repeats} connections with 100 requests in one packet each`, `200 x ${repeats * 100}`, async () => {
    const asking = 'GET /health HTTP/1.1\r\nHost: x\r\n';
    const packet = `${`${asking}\r\n`.repeat(99)}${asking}Connection: close\r\n\r\n`;
    const said = await Promise.all(Array.from({ length: repeats }, () => target().say(packet)));
    return counted(said.flatMap((text) => statusesIn(text).split(', ')));
  });

  flood('25 clients that ask for 12 MB and read only the beginning', 'held in pieces', async () => {
    const body = JSON.stringify({ metadata: { a: 'x'.repeat(60_000) } });
    const headers = { 'X-API-Key': key };
    for (let n = 0; n < 200; n++) await target().ask('POST', '/v1/vms', { headers, body });
    const before = residentMebibytes(target().serving.pid);
    const clients = await connections(25);
    const begun = clients.map(async ({ socket }) => {
      socket.write(`GET /v1/sessions/sandboxes?limit=200 HTTP/1.1\r\nHost: x\r\nX-API-Key: ${key}\r\n\r\n`);
      await once(socket, 'data');
      socket.pause();
    });
    await Promise.all(begun);
    await target().ask('GET', '/health');
    const grown = residentMebibytes(target().serving.pid) - before;
    for (const { socket } of clients) socket.destroy();
    // Complete responses would be 300 MB.
    return grown < 150 ? 'held in pieces' : `${grown} MiB more`;
  });
});

type Client = { socket: Socket; isOpen: Promise<unknown>; answer: Promise<string> };

/** `answer` is what arrived before the connection was closed. */
function clientOf(port: number): Client {
  const socket = connect(port, '127.0.0.1');
  let said = '';
  socket.on('data', (chunk) => {
    said += chunk;
  });
  socket.on('error', () => {});
  const answer = new Promise<string>((resolve) => socket.once('close', () => resolve(statusesIn(said))));
  return { socket, isOpen: Promise.race([once(socket, 'connect'), answer]).catch(() => {}), answer };
}

/** Writes the head, then the rest repeatedly until the connection closes. */
function dribble(socket: Socket, head: string, rest: string): void {
  socket.write(head);
  const timer = setInterval(() => socket.write(rest), 100);
  socket.once('close', () => clearInterval(timer));
}
