import type { Request, RequestHandler } from 'express';
import { HttpError } from '../errors.ts';

/**
 * Gives every later handler a target that is a path and a query, with a path that can be decoded and has no needless
 * escapes. Throws HttpError 400
 * for no `Host` or several, and for an absolute target whose authority is not that of `Host` (RFC 9112, 3.2): two
 * parties that read such a request differently would take it for two different ones.
 */
export const normalTarget: RequestHandler = (req, _res, next) => {
  if (req.headers.host === undefined && req.httpVersion === '1.1') throw refusal('no Host');
  if (countHosts(req.rawHeaders) > 1) throw refusal('more than one Host');
  const target = withNormalPath(req.url.startsWith('/') ? req.url : originForm(req));
  if (target !== req.url) {
    req.url = target;
    req.originalUrl = target;
  }
  next();
};

function countHosts(rawHeaders: string[]): number {
  let count = 0;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    if (name.length === 4 && name.toLowerCase() === 'host') count++;
  }
  return count;
}

/** Returns the path and query of an absolute target, whose authority becomes `Host`; of any other, the target itself. */
function originForm(req: Request): string {
  const [, scheme, authority = '', path = ''] = /^(https?):\/\/([^/?#]*)([^#]*)/i.exec(req.url) ?? [];
  if (scheme === undefined) return req.url;
  if (!/^[^\s@]+$/.test(authority)) throw refusal('a target without a host, or with a user in it');
  const { host } = req.headers;
  if (host !== undefined && bare(host, scheme) !== bare(authority, scheme)) {
    throw refusal('a target whose host is not the one in Host');
  }
  req.headers.host = authority;
  return path.startsWith('/') ? path : `/${path}`;
}

/** Returns an authority in lower case and without the port that its scheme has anyway. */
function bare(authority: string, scheme: string): string {
  return authority.toLowerCase().replace(scheme.toLowerCase() === 'https' ? /:(443)?$/ : /:(80)?$/, '');
}

function withNormalPath(target: string): string {
  const end = target.indexOf('?');
  const path = end < 0 ? target : target.slice(0, end);
  if (!path.includes('%')) return target;
  return plain(canDecode(path) ? path : repaired(path)) + (end < 0 ? '' : target.slice(end));
}

/** Returns the path without the escapes that no character needs: with and without them it is the same (RFC 3986, 6.2.2.2). */
function plain(path: string): string {
  return path.replace(/%(?:2[DE]|3\d|[46][1-9A-F]|[57][0-9A]|5F|7E)/gi, decodeURIComponent);
}

/**
 * Returns the path with U+FFFD where an escape is no UTF-8, and with `%25` for a percent sign that escapes nothing, as
 * Python's `unquote` reads them: it names nothing that exists, and each operation has an answer to that.
 */
function repaired(path: string): string {
  return path
    .replace(/%(?![0-9a-f]{2})/gi, '%25')
    .replace(/(?:%[0-9a-f]{2})+/gi, (escapes) =>
      canDecode(escapes) ? escapes : encodeURIComponent(Buffer.from(escapes.replaceAll('%', ''), 'hex').toString()),
    );
}

function canDecode(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function refusal(reason: string): HttpError {
  return new HttpError(400, `Bad Request: ${reason}`, { Connection: 'close' });
}
