import http, { type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import { reasonOf } from '../http/addresses.ts';
import { maxHeaderBytes } from '../http/connections/limit.ts';
import { isE2b } from '../http/dialect.ts';
import { endToEnd, forTarget } from './headers.ts';

/** How long a connection to the target is kept for the next request: shorter than servers keep theirs. */
const idleMilliseconds = 1000;

/** What becomes of a request; the watcher listens. */
export type Passage = {
  /** The target has begun to answer. */
  answered: (answer: IncomingMessage) => void;
  /** There is no connection to the target, and the client got 502. */
  unreachable: () => void;
  /** The target took the request and gave no answer that can be passed on, and the client got 502. */
  unanswered: () => void;
};

export type Forwarder = {
  /** Passes a request on to the target and what it answers back, both as they come. */
  forward: (req: IncomingMessage, res: ServerResponse, passage: Passage) => void;
  close: () => void;
};

/** Returns what passes requests on to a server; its URL may have a path, which goes before theirs. */
export function createForwarder(target: URL): Forwarder {
  const { Agent, request } = target.protocol === 'https:' ? https : http;
  const agent = new Agent({ keepAlive: true, timeout: idleMilliseconds });
  const prefix = target.pathname.replace(/\/+$/, '');

  const forward = (req: IncomingMessage, res: ServerResponse, passage: Passage) => {
    const { method = 'GET', url = '/' } = req;
    const headers = forTarget(req.rawHeaders, method, target.host);
    const upstream = request(target, {
      agent,
      method,
      path: `${prefix}${originForm(url)}`,
      headers,
      // What is too much is for client and target to judge.
      maxHeaderSize: maxHeaderBytes,
    });
    let received: IncomingMessage | undefined;
    const fail = (error: Error) => {
      upstream.destroy();
      req.unpipe().resume();
      // A target may have had enough of the request before that was over.
      if (received?.complete) return;
      if (res.headersSent || res.destroyed) return void res.destroy();
      const isConnected = hasTaken(error);
      if (isConnected) passage.unanswered();
      else passage.unreachable();
      answer502(
        req,
        res,
        `The target ${target.origin} ${isConnected ? 'gave no answer' : "can't be reached"}: ${reasonOf(error)}`,
      );
    };
    upstream.on('error', fail);
    upstream.on('continue', () => res.writeContinue());
    upstream.on('response', (answer) => {
      try {
        passBack(answer, res);
        received = answer;
      } catch (error) {
        // What a parser lets through and Node doesn't send.
        return fail(error as Error);
      }
      passage.answered(answer);
    });
    passOn(req, upstream);
    // The target may answer, and close, before it has read everything.
    upstream.once('close', () => req.unpipe(upstream).resume());
    res.once('close', () => {
      // Whoever is gone needs no answer.
      if (!res.writableFinished) upstream.destroy();
      if (!req.complete) endWithSocket(req);
    });
  };
  return { forward, close: () => agent.destroy() };
}

/** Returns a request's target without the scheme and the host that a client may put before it (RFC 9112, 3.2.2). */
export function originForm(url: string): string {
  return url.replace(/^https?:\/\/[^/?]*/i, '');
}

/** Of a request that is answered before it is over, Node doesn't tell when its connection breaks. */
function endWithSocket(req: IncomingMessage): void {
  if (req.socket.destroyed) req.destroy();
  else req.socket.once('close', () => req.destroy());
}

function passOn(req: IncomingMessage, upstream: ClientRequest): void {
  sendHead(upstream);
  req.once('end', () => upstream.addTrailers(trailersOf(req)));
  req.pipe(upstream);
}

/** The head goes out at once: the first event of a stream may be long in coming. */
function passBack(answer: IncomingMessage, res: ServerResponse): void {
  res.sendDate = false;
  res.writeHead(answer.statusCode ?? 502, answer.statusMessage, endToEnd(answer.rawHeaders));
  sendHead(res);
  answer.once('end', () => res.addTrailers(trailersOf(answer)));
  answer.once('error', () => res.destroy());
  answer.pipe(res);
}

/** With `flushHeaders`, Node would send what isn't ASCII in them as UTF-8 instead of as the bytes that came. */
function sendHead(message: ClientRequest | ServerResponse): void {
  message.write(Buffer.alloc(0));
}

function trailersOf({ rawTrailers }: IncomingMessage): [string, string][] {
  return Array.from({ length: rawTrailers.length / 2 }, (_, at) => [
    rawTrailers[2 * at] ?? '',
    rawTrailers[2 * at + 1] ?? '',
  ]);
}

/** Returns whether a connection was lost, or what came over it is no HTTP or can't be sent on. */
function hasTaken({ code = '' }: NodeJS.ErrnoException): boolean {
  return /^(EPIPE|ECONNRESET|HPE_\w+|ERR_(INVALID|HTTP)_\w+)$/.test(code);
}

/** In the shape in which the contract has errors on this path. */
function answer502({ url = '' }: IncomingMessage, res: ServerResponse, message: string): void {
  const body = JSON.stringify(isE2b(originForm(url)) ? { code: 502, message } : { detail: message });
  res.writeHead(502, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  res.end(body);
}
