import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Returns a function that stops the server: connections with no request under way are closed at once, the others
 * after their answer, and whatever is left after so many seconds regardless.
 */
export function drainable(server: Server): (seconds: number) => Promise<void> {
  const pending = new Map<Socket, number>();
  let isDraining = false;
  const settle = (socket: Socket, change: number) => {
    const before = pending.get(socket);
    if (before === undefined) return; // closed already
    const count = before + change;
    pending.set(socket, count);
    if (isDraining && count === 0) socket.end();
  };
  server.on('connection', (socket: Socket) => {
    pending.set(socket, 0);
    socket.once('close', () => pending.delete(socket));
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
