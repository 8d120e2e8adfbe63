import type { Request } from 'express';
import { clientAddress } from '../http/rate-limit.ts';

/** They are about one connection, not about the message (RFC 9110, 7.6.1). */
const ofConnection = [
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'transfer-encoding',
  'upgrade',
];

/**
 * Sandpit's own, or set anew: a program in a machine gets no credential of its machine, and no
 * client says itself who it is. `100 Continue` has been sent.
 */
const ofSandpit = [
  'host',
  'expect',
  'x-access-token',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
];

const droppedOfRequest = new Set([...ofConnection, ...ofSandpit]);
const droppedOfAnswer = new Set(ofConnection);

/** An API key or access token of Sandpit's, in the headers in which it is sent. */
const credential = /^(Bearer +)?(e2b_[0-9a-f]{40}|spt_[0-9a-f]{64})$/i;
const credentialHeaders = new Set(['x-api-key', 'authorization']);

/**
 * Returns the headers with which a request goes on to a program that is to see this host, as names
 * and values in turn. A WebSocket's `Origin` that is the host which the client used becomes that
 * host too: many programs accept no other.
 */
export function requestHeaders(req: Request, host: string, isUpgrade: boolean): string[] {
  const named = namedBy(req.headers.connection);
  const { host: asked = '', upgrade = '', origin } = req.headers;
  const headers = ['Host', host];
  for (const [name, value] of pairsOf(req.rawHeaders)) {
    const lower = name.toLowerCase();
    if (droppedOfRequest.has(lower) || named.has(lower) || lower.startsWith('e2b-')) continue;
    if (credentialHeaders.has(lower) && credential.test(value)) continue;
    const isOwnOrigin = isUpgrade && lower === 'origin' && originHost(origin) === asked.toLowerCase();
    headers.push(name, isOwnOrigin ? `http://${host}` : value);
  }
  headers.push('X-Forwarded-For', clientAddress(req), 'X-Forwarded-Host', asked, 'X-Forwarded-Proto', req.protocol);
  if (isUpgrade) headers.push('Connection', 'Upgrade', 'Upgrade', upgrade);
  else headers.push(...framing(req));
  return headers;
}

/** Returns the headers of an answer that go on to the client. `upgrade`: the new protocol. */
export function answerHeaders(rawHeaders: string[], connection = '', upgrade?: string): string[] {
  const named = namedBy(connection);
  const headers = pairsOf(rawHeaders).filter(
    ([name]) => !droppedOfAnswer.has(name.toLowerCase()) && !named.has(name.toLowerCase()),
  );
  if (upgrade !== undefined) headers.push(['Connection', 'Upgrade'], ['Upgrade', upgrade]);
  return headers.flat();
}

/** Returns names and values that follow one another as pairs. */
export function pairsOf(raw: string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) pairs.push([raw[at] as string, raw[at + 1] as string]);
  return pairs;
}

/** Returns the header that says how the body ends, if the client's own does not go on. */
function framing({ method, headers }: Request): string[] {
  if (headers['transfer-encoding'] !== undefined) return ['Transfer-Encoding', 'chunked'];
  const isEmpty = headers['content-length'] === undefined && !/^(GET|HEAD|DELETE|OPTIONS|TRACE)$/.test(method);
  return isEmpty ? ['Content-Length', '0'] : [];
}

/** Returns the names that a Connection header lists: they are about one connection, too. */
function namedBy(connection = ''): Set<string> {
  const names = new Set(connection.toLowerCase().split(/[\s,]+/));
  // No client may take away what bounds or describes the body.
  names.delete('content-length');
  return names;
}

function originHost(origin = ''): string {
  return origin.toLowerCase().replace(/^https?:\/\//, '');
}
