import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Room for the longest filter there may be, every character of it escaped. */
export const maxHeaderBytes = 2 ** 17;

/**
 * Keeps at most so many connections open: for one more, the one is closed that has had no request under way for the
 * longest, so that whoever opens many and says nothing pushes out only their own kind. The new one goes where all are
 * busy. There is no bound for each address: behind a proxy everybody has the same, and an IPv6 network has plenty.
 *
 * Returns a function that stops the server: connections with no request under way are closed at once, the others
 * after their answer, and whatever is left after so many seconds regardless.
 */
export function boundConnections(server: Server, most: number): (seconds: number) => Promise<void> {
  const pending = new Map<Socket, number>();
  /** Those without a request, in the order in which they became idle. */
  const idle = new Set<Socket>();
  /** By the client's address and port: a connection whose handshake is not over is another object than afterwards. */
  const handshaking = new Map<string, Socket>();
  let isDraining = false;

  const settle = (socket: Socket, change: number) => {
    const before = pending.get(socket);
    if (before === undefined) return; // closed already
    const count = before + change;
    pending.set(socket, count);
    if (count > 0) idle.delete(socket);
    else if (isDraining) socket.end();
    else idle.add(socket);
  };
  const forget = (socket: Socket) => {
    pending.delete(socket);
    idle.delete(socket);
  };
  const add = (socket: Socket) => {
    if (pending.size >= most) {
      const [longest = socket] = idle;
      forget(longest);
      longest.destroy();
      if (longest === socket) return;
    }
    pending.set(socket, 0);
    idle.add(socket);
    socket.once('close', () => forget(socket));
  };

  server.on('connection', (socket: Socket) => {
    add(socket);
    if (!isSecure(server)) return;
    const peer = peerOf(socket);
    handshaking.set(peer, socket);
    socket.once('close', () => handshaking.get(peer) === socket && handshaking.delete(peer));
  });
  server.on('secureConnection', (socket: Socket) => {
    const raw = handshaking.get(peerOf(socket));
    if (raw) forget(raw);
    add(socket);
  });
  server.prependListener('request', ({ socket }: IncomingMessage, res: ServerResponse) => {
    settle(socket, 1);
    res.once('close', () => settle(socket, -1));
  });

  return async (seconds) => {
    if (!server.listening) return;
    isDraining = true;
    const closed = once(server, 'close');
    server.close();
    for (const [socket, count] of pending) if (count === 0) socket.destroy();
    const timer = setTimeout(() => server.closeAllConnections(), seconds * 1000);
    await closed;
    clearTimeout(timer);
  };
}

function isSecure(server: Server): boolean {
  return 'setSecureContext' in server;
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
