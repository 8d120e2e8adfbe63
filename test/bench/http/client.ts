import { connect, type Socket } from 'node:net';
import { summarize } from '../report/stats.ts';
import { type Methods, serveMethods } from '../worker.ts';

export type Load = {
  port: number;
  /** The paths to request, in turn. */
  paths: string[];
  key: string;
  connections: number;
  milliseconds: number;
};
export type LoadResult = { milliseconds: number[]; seconds: number; failures: number };

const headEnd = Buffer.from('\r\n\r\n');

const methods = {
  /** Sends one request at a time on each connection until the time is over. */
  load: async ({ port, paths, key, connections, milliseconds }: Load): Promise<LoadResult> => {
    const requests = paths.map((path) => requestText(path, key));
    const result: LoadResult = { milliseconds: [], seconds: 0, failures: 0 };
    const start = performance.now();
    let sent = 0;
    const next = () => requests[sent++ % requests.length] as Buffer;
    const running = Array.from({ length: connections }, () => converse(port, next, start + milliseconds, result));
    await Promise.all(running);
    result.seconds = (performance.now() - start) / 1000;
    return result;
  },
} satisfies Methods;

export type ClientMethods = typeof methods;

function requestText(path: string, key: string): Buffer {
  return Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: ${key}\r\n\r\n`);
}

/**
 * A minimal HTTP client on a socket, so that the benchmark measures the server and not the
 * client.
 */
function converse(port: number, next: () => Buffer, end: number, result: LoadResult): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    let sentAt = 0;
    const send = () => {
      sentAt = performance.now();
      socket.write(next());
    };
    onResponses(socket, (status) => {
      const now = performance.now();
      result.milliseconds.push(now - sentAt);
      if (status !== '200') result.failures++;
      if (now < end) send();
      else socket.end();
    });
    socket.on('connect', send).on('error', reject);
    socket.on('close', () => resolve());
  });
}

/** Calls back with the status of every complete response. */
function onResponses(socket: Socket, done: (status: string) => void): void {
  let status = '';
  let remaining = 0;
  let head = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    let body = chunk.length;
    if (remaining === 0) {
      head = head.length > 0 ? Buffer.concat([head, chunk]) : chunk;
      const at = head.indexOf(headEnd);
      if (at < 0) return;
      const text = head.toString('latin1', 0, at);
      status = text.slice(9, 12);
      remaining = Number(/content-length: *(\d+)/i.exec(text)?.[1] ?? 0);
      body = head.length - at - headEnd.length;
      head = Buffer.alloc(0);
    }
    remaining -= body;
    if (remaining === 0) done(status);
  });
}

/** Returns percentiles over the times of many loads. */
export function joined(results: LoadResult[]): ReturnType<typeof summarize> {
  return summarize(results.flatMap(({ milliseconds }) => milliseconds));
}

if (process.send) serveMethods(methods);
