import { createServer, type Server } from 'node:http';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { listen } from './listen.ts';

/**
 * Starts an HTTP proxy on 127.0.0.1 that leads every tunnel to one port of this machine, whatever
 * the host's name: a client that uses it needs no name resolution. Returns its URL, and the names
 * that were asked for.
 */
export async function startTunnel(port: number): Promise<{ url: string; names: string[]; server: Server }> {
  const names: string[] = [];
  const server = createServer((_req, res) => res.writeHead(405).end());
  server.on('connect', (req, client) => {
    names.push(String(req.url));
    const target = connect(port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 OK\r\n\r\n');
      target.pipe(client);
      client.pipe(target);
    });
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  return { url: `http://127.0.0.1:${await listen(server)}`, names, server };
}

/** Starts a server on 127.0.0.1 behind which is another port. `cut` breaks all connections. */
export async function startRelay(port: number): Promise<{ url: string; cut: () => void; end: () => void }> {
  const open = new Set<Socket>();
  const server = createTcpServer((client) => {
    const target = connect(port, '127.0.0.1');
    for (const [one, other] of [
      [client, target],
      [target, client],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
  });
  const cut = () => {
    for (const socket of open) socket.destroy();
  };
  const end = () => {
    cut();
    server.close();
  };
  return { url: `http://127.0.0.1:${await listen(server)}`, cut, end };
}
