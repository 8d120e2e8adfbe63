import { createServer, type RequestListener, type Server } from 'node:http';
import { connect, createServer as createTcpServer, type Server as TcpServer } from 'node:net';
import { createReport, type Summary } from '../../app/proxy/report.ts';
import { startProxy } from '../../app/proxy/server.ts';
import { listen } from '../helpers/listen.ts';

export type Watched = {
  url: string;
  /**
   * Returns the lines reported so far, one for each breach, sorted by request; breaches are
   * reported in the order in which they are found.
   */
  lines: () => string[];
  /** Stops the proxy and returns its summary. */
  summary: () => Promise<Summary>;
};

const open: (() => Promise<unknown>)[] = [];

/** Called after every test of a proxy. */
export async function closeAll(): Promise<void> {
  for (const close of open.splice(0).reverse()) await close();
}

/** Starts a proxy in front of a server. */
export async function watched(target: string): Promise<Watched> {
  let output = '';
  const sink = { write: (text: string) => (output += text) };
  const report = createReport(sink, sink);
  const proxy = await startProxy(new URL(target), '127.0.0.1', 0, report);
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= proxy.close();
    return closed;
  };
  open.push(close);
  return {
    url: proxy.url,
    lines: () => {
      const lines = output.split('\n').filter(Boolean);
      return lines.sort((a, b) => requestOf(a) - requestOf(b));
    },
    summary: async () => {
      await close();
      return report.summary();
    },
  };
}

function requestOf(line: string): number {
  return Number(/^#(\d+) /.exec(line)?.[1]);
}

/** Starts a server with this listener. Returns its URL. */
export function serverOf(listener: RequestListener): Promise<string> {
  return listening(createServer(listener));
}

/**
 * Starts a server that records received bytes until they end in `end`, and then sends `answer`
 * unchanged.
 */
export async function rawServer(end: string, answer: string): Promise<{ url: string; received: () => string }> {
  let received = '';
  const server = createTcpServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1');
      if (received.endsWith(end)) socket.end(answer, 'latin1');
    });
  });
  return { url: await listening(server), received: () => received };
}

/** Sends these bytes. Returns everything received until the connection closes. */
export function sayRaw(url: string, text: string): Promise<string> {
  const { port, hostname } = new URL(url);
  return new Promise((resolve, reject) => {
    let received = '';
    const socket = connect(Number(port), hostname, () => socket.write(text, 'latin1'));
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1');
    });
    socket.once('close', () => resolve(received)).once('error', reject);
  });
}

async function listening(server: Server | TcpServer): Promise<string> {
  const port = await listen(server);
  open.push(async () => {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${port}`;
}
