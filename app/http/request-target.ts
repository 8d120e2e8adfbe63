import type { Request, RequestHandler } from 'express';
import { HttpError } from '../errors.ts';

declare global {
  namespace Express {
    interface Request {
      /** The path and query as the client sent them, for those who send the request on. */
      target: string;
    }
  }
}

/**
 * Normalizes the request target for later handlers: a path and a query, with a path that can be
 * decoded and has no needless escapes. Throws HttpError 400 for a missing or repeated `Host`, and
 * for an absolute target whose authority differs from `Host` (RFC 9112, 3.2): a proxy and this
 * server could read such a request as two different ones.
 */
export const normalTarget: RequestHandler = (req, _res, next) => {
  if (req.headers.host === undefined && req.httpVersion === '1.1') throw badRequest('the Host header is missing');
  if (countHosts(req.rawHeaders) > 1) throw badRequest('there is more than one Host header');
  req.target = req.url.startsWith('/') ? req.url : originForm(req);
  const target = withNormalPath(req.target);
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

/**
 * Returns the path and query of an absolute target, whose authority becomes `Host`. Returns any
 * other target as it is.
 */
function originForm(req: Request): string {
  const [, scheme, authority = '', path = ''] = /^(https?):\/\/([^/?#]*)([^#]*)/i.exec(req.url) ?? [];
  if (scheme === undefined) return req.url;
  if (!/^[^\s@]+$/.test(authority)) throw badRequest('the target has no host, or has a user in it');
  const { host } = req.headers;
  if (host !== undefined && normal(host, scheme) !== normal(authority, scheme)) {
    throw badRequest('the host of the target is not the one in the Host header');
  }
  req.headers.host = authority;
  return path.startsWith('/') ? path : `/${path}`;
}

/** Returns an authority in lower case, without the scheme's default port. */
function normal(authority: string, scheme: string): string {
  return authority.toLowerCase().replace(scheme.toLowerCase() === 'https' ? /:(443)?$/ : /:(80)?$/, '');
}

function withNormalPath(target: string): string {
  const end = target.indexOf('?');
  const path = end < 0 ? target : target.slice(0, end);
  if (!path.includes('%')) return target;
  return withoutNeedlessEscapes(canDecode(path) ? path : repaired(path)) + (end < 0 ? '' : target.slice(end));
}

/**
 * Decodes unreserved characters, which mean the same with and without escapes (RFC 3986, 6.2.2.2).
 */
function withoutNeedlessEscapes(path: string): string {
  return path.replace(/%(?:2[DE]|3\d|[46][1-9A-F]|[57][0-9A]|5F|7E)/gi, decodeURIComponent);
}

/**
 * Returns the path with U+FFFD for escapes that are not UTF-8, and `%25` for a percent sign that
 * escapes nothing, as Python's `unquote` reads them. Such a path matches nothing that exists, and
 * every operation has an answer to that.
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

function badRequest(reason: string): HttpError {
  return new HttpError(400, `Bad Request: ${reason}`, { Connection: 'close' });
}
