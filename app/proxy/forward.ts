import http, { type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import { reasonOf } from '../http/addresses.ts';
import { maxHeaderBytes } from '../http/connections/limit.ts';
import { isE2b } from '../http/dialect.ts';
import { endToEnd, headersFor } from './headers.ts';

/** How long an idle connection to the target is kept: shorter than servers keep theirs. */
const idleMilliseconds = 1000;

/** Learns what becomes of a request. */
export type Observer = {
  /** The target has started to answer. */
  answered: (answer: IncomingMessage) => void;
  /** No connection to the target could be made; the client got 502. */
  unreachable: () => void;
  /** The target accepted the connection but gave no valid answer; the client got 502. */
  unanswered: () => void;
};

export type Forwarder = {
  /** Streams a request to the target and the answer back. */
  forward: (req: IncomingMessage, res: ServerResponse, observer: Observer) => void;
  close: () => void;
};

/** Returns a forwarder to a server. A path in the URL is put before the path of each request. */
export function createForwarder(target: URL): Forwarder {
  const { Agent, request } = target.protocol === 'https:' ? https : http;
  const agent = new Agent({ keepAlive: true, timeout: idleMilliseconds });
  const prefix = target.pathname.replace(/\/+$/, '');
  return {
    forward: (req, res, observer) => {
      const { method = 'GET', url = '/', rawHeaders } = req;
      const upstream = request(target, {
        agent,
        method,
        path: `${prefix}${originForm(url)}`,
        headers: headersFor(target.host, rawHeaders, method),
        // Larger than usual, so that the client and the target decide what is too much.
        maxHeaderSize: maxHeaderBytes,
      });
      relay({ req, res, upstream, observer, origin: target.origin });
    },
    close: () => agent.destroy(),
  };
}

type Relay = {
  req: IncomingMessage;
  res: ServerResponse;
  upstream: ClientRequest;
  observer: Observer;
  origin: string;
};

function relay(relayed: Relay): void {
  const { req, res, upstream, observer } = relayed;
  let received: IncomingMessage | undefined;
  const fail = (error: Error) => {
    upstream.destroy();
    req.unpipe().resume();
    // A complete answer stands even if the target then closed before it had read the whole request.
    if (received?.complete) return;
    if (res.headersSent || res.destroyed) return void res.destroy();
    answer502(relayed, error);
  };
  upstream.on('error', fail);
  upstream.on('continue', () => res.writeContinue());
  upstream.on('response', (answer) => {
    try {
      sendBack(answer, res);
      received = answer;
    } catch (error) {
      // Node's parser accepts some headers that Node refuses to send.
      return fail(error as Error);
    }
    observer.answered(answer);
  });
  sendOn(req, upstream);
  // The target may answer and close before it has read the whole request.
  upstream.once('close', () => req.unpipe(upstream).resume());
  res.once('close', () => {
    if (!res.writableFinished) upstream.destroy();
    if (!req.complete) endWithSocket(req);
  });
}

/**
 * Returns a request's target without the scheme and host of the absolute form (RFC 9112, 3.2.2).
 */
export function originForm(url: string): string {
  return url.replace(/^https?:\/\/[^/?]*/i, '');
}

/**
 * After an early answer, Node does not report that the connection of an unfinished request broke.
 */
function endWithSocket(req: IncomingMessage): void {
  if (req.socket.destroyed) req.destroy();
  else req.socket.once('close', () => req.destroy());
}

function sendOn(req: IncomingMessage, upstream: ClientRequest): void {
  sendHead(upstream);
  req.once('end', () => upstream.addTrailers(trailersOf(req)));
  req.pipe(upstream);
}

/** Sends the head at once, because the first event of a stream may come much later. */
function sendBack(answer: IncomingMessage, res: ServerResponse): void {
  res.sendDate = false;
  res.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.rawHeaders));
  sendHead(res);
  answer.once('end', () => res.addTrailers(trailersOf(answer)));
  answer.once('error', () => res.destroy());
  answer.pipe(res);
}

/** Unlike `flushHeaders`, an empty write keeps non-ASCII bytes in headers as they came. */
function sendHead(message: ClientRequest | ServerResponse): void {
  message.write(Buffer.alloc(0));
}

function trailersOf({ rawTrailers }: IncomingMessage): [string, string][] {
  return Array.from({ length: rawTrailers.length / 2 }, (_, at) => [
    rawTrailers[2 * at] ?? '',
    rawTrailers[2 * at + 1] ?? '',
  ]);
}

/**
 * Whether the error came after a connection was made: it broke, or the answer was not valid HTTP.
 */
function isAfterConnect({ code = '' }: NodeJS.ErrnoException): boolean {
  return /^(EPIPE|ECONNRESET|HPE_\w+|ERR_(INVALID|HTTP)_\w+)$/.test(code);
}

/** Answers in the error format that the contract has on this path. */
function answer502({ req, res, observer, origin }: Relay, error: Error): void {
  const isConnected = isAfterConnect(error);
  if (isConnected) observer.unanswered();
  else observer.unreachable();
  const message = `The target ${origin} ${isConnected ? 'gave no answer' : "can't be reached"}: ${reasonOf(error)}`;
  const body = JSON.stringify(isE2b(originForm(req.url ?? '')) ? { code: 502, message } : { detail: message });
  res.writeHead(502, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  res.end(body);
}
