import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** Bounds on what a client may still send after its last response. */
const maxMilliseconds = 10_000;
const maxBytes = 2 ** 26;

const lingering = new WeakSet<Socket>();

/**
 * Lets clients read a response that comes while they still send (RFC 9112, 9.6). Closing a socket
 * with unread bytes in it resets the connection, and the client may lose the response.
 */
export function closeGently(server: Server): void {
  server.on('setSecureContext' in server ? 'secureConnection' : 'connection', (socket: Socket) => {
    // node:http calls this after the last response of a connection.
    socket.destroySoon = () => linger(socket);
  });
}

/**
 * Closes the server's side of a connection and discards what still arrives, until the client has
 * closed its side or a bound is reached.
 */
export function linger(socket: Socket): void {
  if (lingering.has(socket)) return;
  lingering.add(socket);
  socket.end();
  // Node's parser must not see these bytes: they are not requests.
  socket.removeAllListeners('data');
  let left = maxBytes;
  socket.on('data', (chunk) => {
    left -= chunk.length;
    if (left < 0) socket.destroy();
  });
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), maxMilliseconds);
  socket.once('close', () => clearTimeout(timer));
}

export function isLingering(socket: Socket): boolean {
  return lingering.has(socket);
}
