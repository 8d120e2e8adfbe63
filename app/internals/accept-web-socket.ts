import type { Request, Response } from 'express';
import type { WebSocket } from 'ws';
import { upgradeOf } from '../http/forwarded.ts';
import { acceptWebSocket } from '../http/web-socket.ts';

/** A longer message of a client closes its WebSocket. */
const maxPayload = 2 ** 20;

/**
 * Accepts a WebSocket and returns it, as ws's own server does once it has answered. That server
 * answers by itself: then nothing would end the response, which the log and the limits wait for.
 */
export async function openWebSocket(req: Request, res: Response): Promise<WebSocket> {
  // Imported only if needed, because the module slows the start.
  const { WebSocket: Socket } = await import('ws');
  const upgrade = upgradeOf(res);
  if (!upgrade) throw new Error('the connection of this request is not to be upgraded');
  acceptWebSocket(req, res);
  const webSocket = new Socket(null as never, undefined, {});
  const options = { allowSynchronousEvents: true, maxPayload, skipUTF8Validation: false };
  (webSocket as unknown as { setSocket: (...args: unknown[]) => void }).setSocket(
    upgrade.socket,
    upgrade.head,
    options,
  );
  return webSocket;
}
