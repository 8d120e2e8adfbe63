import http, { type ClientRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import https from 'node:https';
import { isE2b } from '../errors.ts';
import { reasonOf } from '../networks.ts';
import { endToEnd, forTarget } from './headers.ts';

/** How long a connection to the target is kept for the next request: shorter than servers keep theirs. */
const idleMilliseconds = 1000;

/** What becomes of a request; the watcher listens. */
export type Passage = {
  /** The target has begun to answer. */
  answered: (answer: IncomingMessage) => void;
  /** The target gave no answer, and the client got 502. */
  unreachable: () => void;
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
    const upstream = request(target, { agent, method, path: `${prefix}${originForm(url)}`, headers });
    const fail = (error: Error) => {
      upstream.destroy();
      req.unpipe().resume();
      if (res.headersSent || res.destroyed) return void res.destroy();
      passage.unreachable();
      answerUnreachable(req, res, target, error);
    };
    upstream.on('error', fail);
    upstream.on('continue', () => res.writeContinue());
    upstream.on('response', (answer) => {
      try {
        passBack(answer, res);
      } catch (error) {
        // What a parser lets through and Node doesn't send.
        return fail(error as Error);
      }
      passage.answered(answer);
    });
    passOn(req, upstream);
    // Whoever is gone needs no answer.
    res.once('close', () => {
      if (!res.writableFinished) upstream.destroy();
    });
  };
  return { forward, close: () => agent.destroy() };
}

/** Returns a request's target without the scheme and the host that a client may put before it (RFC 9112, 3.2.2). */
export function originForm(url: string): string {
  return url.replace(/^https?:\/\/[^/?]*/i, '');
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

/** In the shape in which the contract has errors on this path. */
function answerUnreachable({ url = '' }: IncomingMessage, res: ServerResponse, { origin }: URL, error: Error): void {
  const message = `The target ${origin} can't be reached: ${reasonOf(error)}`;
  const body = JSON.stringify(isE2b(originForm(url)) ? { code: 502, message } : { detail: message });
  res.writeHead(502, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  res.end(body);
}
