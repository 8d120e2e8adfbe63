import { type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { errorBody } from '../dialect.ts';
import { isStream } from '../streams/streams.ts';
import { isLingering, linger } from './linger.ts';

const statusOf: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/**
 * Answers what is not HTTP, and a request that arrives too slowly, with an error in the usual
 * shape. It is the listener of the server's `clientError`.
 */
export function answerBadHttp(
  { code = '' }: NodeJS.ErrnoException,
  socket: Socket & { _httpMessage?: ServerResponse },
): void {
  if (isLingering(socket)) return;
  const status = statusOf[code] ?? 400;
  const pending = socket._httpMessage;
  // Its own rules bound a stream: node:http reports that the whole request took too long, once.
  if (status === 408 && pending && isStream(pending)) return;
  if (status === 408 && pending && isReadingBody(pending)) {
    const body = errorBody(pending.req.url ?? '', status);
    pending.writeHead(status, { 'Content-Type': 'application/json', Connection: 'close' }).end(body);
    return;
  }
  // While another response is pending, the client would take this one for it, or for a part of it.
  if (code === 'ECONNRESET' || !socket.writable || pending) return void socket.destroy();
  const body = errorBody('', status);
  const headers = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nCache-Control: no-store`;
  socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers}\r\nConnection: close\r\n\r\n${body}`);
  linger(socket);
}

/**
 * Returns whether the request's body is still being read: then nothing has been done for the
 * request yet.
 */
function isReadingBody({ headersSent, req }: ServerResponse): boolean {
  return !headersSent && !req.complete && req.listenerCount('data') > 0;
}
