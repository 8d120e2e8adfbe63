import cors from 'cors';
import type { RequestHandler } from 'express';
import helmet from 'helmet';
import type { Config } from './config.ts';

const year = 31_536_000;

/**
 * Returns the handler that sets helmet's headers. An answer loads nothing and is framed by nobody, unless it says
 * otherwise itself; browsers are told to stay with HTTPS only where this server speaks it.
 */
export function securityHeaders({ tlsCert }: Config): RequestHandler {
  const headers = computed(
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
      strictTransportSecurity: tlsCert !== undefined && { maxAge: year, includeSubDomains: false },
    }),
  );
  return (_req, res, next) => {
    for (const [name, value] of headers) res.setHeader(name, value);
    next();
  };
}

/** They are the same every time, and helmet would work them out every time. */
function computed(handler: ReturnType<typeof helmet>): [string, string][] {
  const headers: [string, string][] = [];
  const response = { setHeader: (...header: [string, string]) => headers.push(header), removeHeader: () => {} };
  handler({} as never, response as never, () => {});
  return headers;
}

/** Returns the handlers that let pages of the configured origins call: none unless there are any. */
export function crossOrigin({ corsOrigins }: Config): RequestHandler[] {
  if (!corsOrigins) return [];
  const isOpen = corsOrigins.includes('*');
  const handler = cors({
    origin: isOpen ? '*' : corsOrigins,
    methods: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    exposedHeaders: ['X-Next-Token', 'Retry-After'],
    maxAge: 600,
  });
  const known = new Set(corsOrigins);
  return [
    (req, res, next) => {
      if (!isOpen) res.vary('Origin');
      if (isOpen || known.has(req.headers.origin ?? '')) return handler(req, res, next);
      next();
    },
  ];
}
