import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from 'node:http';
import type { Request, Response } from 'express';
import { markForwarded, upgradeOf } from '../http/forwarded.ts';
import { garbledPort, silentPort } from './answers.ts';
import { PortAgent, type Route } from './connections.ts';
import { answerHeaders, pairsOf, requestHeaders } from './headers.ts';
import { joinStreams } from './upgrade.ts';

/** A request during which no byte moves for so long is given up. E2B's proxy waits as long. */
const idleMilliseconds = 620_000;
/** Larger headers of an answer break it off. */
const mostHeaderBytes = 2 ** 16;
/** An answer may be announced so often (1xx). */
const mostAnnouncements = 16;

/**
 * Connections are used again for requests that can be repeated: the program may have closed one a
 * moment ago.
 */
const kept = new PortAgent(true);
const fresh = new PortAgent(false);

/**
 * Sends a request on to a program that is to see this host, and its answer back, both as they
 * arrive. Resolves once the answer has begun. Rejects when there is none.
 */
export async function forward(req: Request, res: Response, route: Route, host: string): Promise<void> {
  const isRepeatable = upgradeOf(res) === undefined && /^(GET|HEAD|OPTIONS)$/.test(req.method) && !hasBody(req);
  const first = send(req, res, route, host, isRepeatable ? kept : fresh);
  await first.answered.catch((error) => {
    if (!first.sent.reusedSocket || res.closed) throw error;
    return send(req, res, route, host, fresh).answered;
  });
}

type Sent = { sent: ClientRequest; answered: Promise<void> };

function send(req: Request, res: Response, route: Route, host: string, agent: PortAgent): Sent {
  const { promise: answered, resolve, reject } = Promise.withResolvers<void>();
  const headers = requestHeaders(req, host, upgradeOf(res) !== undefined);
  const { method, target: path } = req;
  const options = { agent, method, path, headers, maxHeaderSize: mostHeaderBytes, setHost: false, route };
  const sent = request(options as unknown as RequestOptions);
  res.once('close', () => sent.destroy());
  limitIdle(res, () => {
    reject(silentPort);
    if (res.headersSent) res.destroy();
  });
  let announcements = 0;
  sent.on('information', ({ statusCode, rawHeaders }) => {
    if (++announcements <= mostAnnouncements) announce(res, statusCode, rawHeaders);
  });
  sent.on('response', (answer) => settle(() => passOn(answer, res)));
  sent.on('upgrade', (answer, stream, head) => settle(() => joinStreams(answer, stream, head, res)));
  sent.on('error', reject);
  const settle = (pass: () => void) => {
    try {
      pass();
      resolve();
    } catch {
      for (const name of res.getHeaderNames()) res.removeHeader(name);
      res.statusMessage = '';
      sent.destroy();
      reject(garbledPort);
    }
  };
  sendBody(req, res, sent);
  return { sent, answered };
}

function limitIdle(res: Response, late: () => void): void {
  // node:http no longer watches the connection of an upgrade.
  if (upgradeOf(res) === undefined) res.setTimeout(idleMilliseconds, late);
  else res.req.socket.setTimeout(idleMilliseconds, late);
}

function hasBody({ headers }: IncomingMessage): boolean {
  return (headers['content-length'] ?? '0') !== '0' || headers['transfer-encoding'] !== undefined;
}

function sendBody(req: Request, res: Response, sent: ClientRequest): void {
  if (!hasBody(req) || upgradeOf(res) !== undefined) return void sent.end();
  req.once('end', () => addTrailers(sent, req));
  req.pipe(sent);
  // A program may answer before it has read everything; then the rest is thrown away.
  const leave = () => void req.unpipe(sent).resume();
  sent.once('close', leave);
}

/** Sends an answer on. Throws an Error for one that HTTP does not allow. */
function passOn(answer: IncomingMessage, res: Response): void {
  const { statusCode = 0, statusMessage = '', rawHeaders, headers } = answer;
  markForwarded(res);
  res.writeHead(statusCode, statusMessage, answerHeaders(rawHeaders, headers.connection));
  // Events may come much later than the headers.
  res.flushHeaders();
  answer.once('end', () => addTrailers(res, answer));
  // An answer that breaks off must not look like one that ends.
  answer.once('error', () => res.destroy());
  answer.pipe(res);
}

function addTrailers(to: ClientRequest | Response, { rawTrailers }: IncomingMessage): void {
  if (rawTrailers.length > 0) to.addTrailers(pairsOf(rawTrailers));
}

/** Sends 102 or 103 on; others mean nothing to a client. */
function announce(res: Response, status: number, rawHeaders: string[]): void {
  if (res.headersSent || res.req.httpVersion !== '1.1') return;
  if (status === 102) res.writeProcessing();
  const links = pairsOf(rawHeaders).filter(([name]) => name.toLowerCase() === 'link');
  if (status !== 103 || links.length === 0) return;
  try {
    res.writeEarlyHints({ link: links.map(([, value]) => value) });
  } catch {
    // Node knows the usual forms of Link only. A hint that is left out changes nothing.
  }
}
