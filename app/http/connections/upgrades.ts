import type { RequestListener, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setUpgrade } from '../forwarded.ts';

/**
 * Gives requests that upgrade their connection to the application like every other request, with a
 * response. What it answers but 101 ends the connection.
 */
export function handleUpgrades(server: Server, app: RequestListener, Response: typeof ServerResponse): void {
  server.on('upgrade', (req, stream, head: Buffer) => {
    const socket = stream as Socket;
    // Whoever reads or writes learns of it as well.
    socket.on('error', () => socket.destroy());
    const res = new Response(req);
    res.shouldKeepAlive = false;
    res.assignSocket(socket);
    setUpgrade(res, { socket, head });
    res.once('finish', () => {
      if (res.statusCode !== 101) socket.destroySoon();
    });
    app(req, res as Parameters<RequestListener>[1]);
  });
}
