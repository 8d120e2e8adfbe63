import cors from 'cors';
import type { Express, RequestHandler } from 'express';
import helmet from 'helmet';
import type { Contract } from '../../spec/load.ts';
import type { Config } from '../config/settings.ts';
import { addHeaderLines } from '../internals/header-lines.ts';
import { isForwarded } from './forwarded.ts';

const yearSeconds = 31_536_000;
const policyHeader = 'Content-Security-Policy';
const noStore = 'Cache-Control: no-store\r\n';

/**
 * Adds helmet's headers and `Cache-Control: no-store` to every response that is not a program's,
 * unless a route sets its own Content-Security-Policy or Cache-Control. The default policy forbids
 * loading and framing. HSTS is sent only if this server itself speaks HTTPS. Responses are not
 * stored, because most are for one caller and some show a secret once.
 */
export function addSecurityHeaders(app: Express, { tlsCert }: Config): void {
  const headers = headersOf(
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
      strictTransportSecurity: tlsCert !== undefined && { maxAge: yearSeconds, includeSubDomains: false },
    }),
  );
  const all = linesOf(headers);
  const withoutPolicy = linesOf(headers.filter(([name]) => name !== policyHeader));
  addHeaderLines(app, (res) => {
    if (isForwarded(res)) return '';
    const caching = res.hasHeader('Cache-Control') ? '' : noStore;
    return caching + (res.hasHeader(policyHeader) ? withoutPolicy : all);
  });
}

/** Returns the headers that the handler sets. They are the same for every response. */
function headersOf(handler: ReturnType<typeof helmet>): [string, string][] {
  const headers: [string, string][] = [];
  const response = { setHeader: (...header: [string, string]) => headers.push(header), removeHeader: () => {} };
  handler({} as never, response as never, () => {});
  return headers;
}

function linesOf(headers: [string, string][]): string {
  return headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
}

/**
 * Returns the handlers that allow cross-origin requests from the configured origins; none if there
 * are no origins.
 */
export function crossOrigin({ corsOrigins }: Config, { components }: Contract): RequestHandler[] {
  if (!corsOrigins) return [];
  const isAnyAllowed = corsOrigins.includes('*');
  const handler = cors({
    origin: isAnyAllowed ? '*' : corsOrigins,
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: Object.keys(components.headers),
    maxAge: 600,
  });
  const allowed = new Set(corsOrigins);
  return [
    (req, res, next) => {
      if (!isAnyAllowed) res.vary('Origin');
      // `cors` answers every OPTIONS itself. One without an origin is not from a page.
      if (req.method === 'OPTIONS' && req.headers.origin === undefined) return next();
      if (isAnyAllowed || allowed.has(req.headers.origin ?? '')) return handler(req, res, next);
      next();
    },
  ];
}
