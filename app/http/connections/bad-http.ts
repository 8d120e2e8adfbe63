import { type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { errorBody } from '../dialect.ts';

/** How long, and for how many bytes, a client may go on sending after its last answer. */
const lingerMilliseconds = 10_000;
const maxDiscardedBytes = 2 ** 26;

const lingering = new WeakSet<Socket>();

/**
 * Lets clients read an answer that comes while they still send (RFC 9112, 9.6). A socket that is closed with unread
 * bytes in it resets the connection, which takes the answer with it. So the server closes its own side, discards what
 * still comes, and closes the rest when the client has done so or the bounds are reached.
 */
export function closeGently(server: Server): void {
  server.on('setSecureContext' in server ? 'secureConnection' : 'connection', (socket: Socket) => {
    // What node:http calls after the last answer on a connection.
    socket.destroySoon = () => linger(socket);
  });
  server.on('clientError', answerBadHttp);
}

function linger(socket: Socket): void {
  if (lingering.has(socket)) return;
  lingering.add(socket);
  socket.end();
  // Nothing that still comes is a request: a new listener takes the bytes away from node's parser.
  socket.removeAllListeners('data');
  let left = maxDiscardedBytes;
  socket.on('data', (chunk) => {
    left -= chunk.length;
    if (left < 0) socket.destroy();
  });
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), lingerMilliseconds);
  socket.once('close', () => clearTimeout(timer));
}

const badHttpStatus: Record<string, number> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
};

/** Answers what isn't HTTP, and a request that takes too long to arrive, in the shape of other errors. */
function answerBadHttp({ code = '' }: NodeJS.ErrnoException, socket: Socket & { _httpMessage?: ServerResponse }): void {
  if (lingering.has(socket)) return;
  const status = badHttpStatus[code] ?? 400;
  const pending = socket._httpMessage;
  if (status === 408 && pending && isUnread(pending)) {
    const body = errorBody(pending.req.url ?? '', status);
    pending.writeHead(status, { 'Content-Type': 'application/json', Connection: 'close' }).end(body);
    return;
  }
  // Beside the answer to an earlier request this one would be taken for that answer, or land in the middle of it.
  if (code === 'ECONNRESET' || !socket.writable || pending) return void socket.destroy();
  const body = errorBody('', status);
  const headers = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nCache-Control: no-store`;
  socket.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers}\r\nConnection: close\r\n\r\n${body}`);
  linger(socket);
}

/** Returns whether an answer is that to a request whose body is still being read: nothing has been done for it yet. */
function isUnread({ headersSent, req }: ServerResponse): boolean {
  return !headersSent && !req.complete && req.listenerCount('data') > 0;
}
