import { createHash } from 'node:crypto';
import type { Request, Response } from 'express';

/** Both sides of a handshake append this to its key (RFC 6455, 1.3). */
const handshakeText = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** The most bytes that the reason of a close frame may have (RFC 6455, 5.5). */
export const maxReasonBytes = 123;

/** Returns whether a request opens a WebSocket (RFC 6455, 4.2.1). */
export function opensWebSocket({ method, httpVersion, headers }: Request): boolean {
  return (
    method === 'GET' &&
    httpVersion === '1.1' &&
    /(^|[\s,])websocket($|[\s,/])/i.test(headers.upgrade ?? '') &&
    /(^|[\s,])upgrade($|[\s,])/i.test(headers.connection ?? '') &&
    headers['sec-websocket-version'] === '13' &&
    /^[\w+/]{22}==$/.test(headers['sec-websocket-key'] ?? '')
  );
}

/**
 * Accepts a WebSocket, closes it with a code and a reason, and closes the connection. What the
 * client still sends is discarded (`closeGently`), so nothing is kept for the connection.
 */
export function closeWebSocket(req: Request, res: Response, code: number, reason: string): void {
  const { socket } = req;
  acceptWebSocket(req, res);
  socket.write(closeFrame(code, reason));
  socket.destroySoon();
}

/** Answers that a WebSocket begins (RFC 6455, 4.2.2). No extension is agreed on. */
export function acceptWebSocket(req: Request, res: Response): void {
  const key = req.headers['sec-websocket-key'] ?? '';
  const accept = createHash('sha1').update(`${key}${handshakeText}`).digest('base64');
  res.writeHead(101, { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Accept': accept });
  res.end();
}

/** Returns a close frame (RFC 6455, 5.5.1). Throws an Error if the reason is too long. */
function closeFrame(code: number, reason: string): Buffer {
  const text = Buffer.from(reason);
  if (text.length > maxReasonBytes) throw new Error(`the reason of a close frame is too long: ${reason}`);
  const head = Buffer.from([0x88, text.length + 2, 0, 0]);
  head.writeUInt16BE(code, 2);
  return Buffer.concat([head, text]);
}
