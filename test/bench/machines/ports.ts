import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { freePort } from '../../helpers/listen.ts';
import { rateRows } from './bytes.ts';
import { growthDuring, type MachineRow, milliseconds, quantiles, timed, until } from './measured.ts';
import type { Sandbox, Subject } from './server.ts';

type Row = Omit<MachineRow, 'engine'>;

const port = 8000;
const size = 100_000_000;
const messages = 1000;
const requests = 500;
/** How much a request through Sandpit may take beyond a direct one, in milliseconds. */
const allowed = 5;

/** Answers GET, sends 100 MB at /large, and echoes whatever follows an upgrade. */
const program = `
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True
    def log_message(self, *_): pass
    def do_GET(self):
        if self.headers.get('Upgrade'):
            self.wfile.write(b'HTTP/1.1 101 Echo\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n')
            for line in self.rfile: self.wfile.write(line)
            return
        length = ${size} if self.path == '/large' else 2
        self.send_response(200)
        self.send_header('Content-Length', str(length))
        self.end_headers()
        piece = b'x' * min(length, 65536)
        while length > 0:
            self.wfile.write(piece[:length])
            length -= len(piece)
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
`;

type Place = { url: string; headers: Record<string, string> };

/**
 * What a program in a machine takes through `getHost`, beside the same program reached directly.
 */
export async function measurePorts(subject: Subject, sandbox: Sandbox): Promise<Row[]> {
  await sandbox.files.write('ports.py', program);
  await sandbox.commands.run(`python3 ports.py ${port}`, { background: true });
  const through = { url: subject.url, headers: { Host: `${port}-${sandbox.sandboxId}.localhost` } };
  const directPort = await freePort();
  const beside = spawn('python3', ['-c', program, String(directPort)]);
  const direct = { url: `http://127.0.0.1:${directPort}`, headers: {} };
  try {
    for (const place of [through, direct]) await until(() => get(place, '/').then(Boolean, () => false), 30);
    const difference = (await medianOf(through)) - (await medianOf(direct));
    const start = performance.now();
    const { result, growth } = await growthDuring(subject.pid, () => get(through, '/large'));
    const perSecond = size / ((performance.now() - start) / 1000);
    if (result !== size) throw new Error(`${result} of ${size} bytes arrived`);
    return [
      {
        what: 'request through getHost, beyond a direct one, p50',
        bar: `at most ${milliseconds(allowed)}`,
        measured: milliseconds(difference),
        met: difference <= allowed,
      },
      await echoRow(through),
      ...rateRows('100 MB through a port', perSecond, 50, growth),
    ];
  } finally {
    beside.kill();
  }
}

async function medianOf(place: Place): Promise<number> {
  const agent = new Agent({ keepAlive: true });
  const times = await timed(requests, () => get(place, '/', agent));
  agent.destroy();
  return quantiles(times).p50;
}

/** Returns how many bytes an answer had. */
async function get({ url, headers }: Place, path: string, agent?: Agent): Promise<number> {
  const asked = request(url + path, { headers, ...(agent && { agent }) }).end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  if (answer.statusCode !== 200) throw new Error(`${path} was answered ${answer.statusCode}`);
  let bytes = 0;
  for await (const chunk of answer) bytes += chunk.length;
  return bytes;
}

async function echoRow({ url, headers }: Place): Promise<Row> {
  const asked = request(url, { headers: { ...headers, Connection: 'Upgrade', Upgrade: 'echo' } }).end();
  const [, socket] = (await once(asked, 'upgrade')) as [IncomingMessage, Socket];
  const sent = Array.from({ length: messages }, (_, n) => `message ${n}\n`);
  const start = performance.now();
  for (const message of sent) socket.write(message);
  let heard = '';
  for await (const bytes of socket) {
    heard += bytes;
    if (heard.length >= sent.join('').length) break;
  }
  const isInOrder = heard === sent.join('');
  return {
    what: '1,000 messages over an upgraded connection, and back',
    bar: 'in order',
    measured: `${isInOrder ? 'in order' : 'in disorder'}, ${milliseconds(performance.now() - start)}`,
    met: isInOrder,
  };
}
