import { createHash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ConfigError } from '../config/config.ts';
import type { Config } from '../config/settings.ts';
import type { Context, Metrics } from '../context.ts';
import { hostOf, isLoopback, urlOf } from '../http/addresses.ts';
import { collectMetrics, type MetricsRegistry } from './registry.ts';

/** Scrapers are few and quick. */
const maxConnections = 20;
const timeoutMilliseconds = 10_000;

/** Collects metrics, and serves them at an address of their own. */
export type MetricsServer = {
  metrics: Metrics;
  /** Listens. Rejects with ConfigError when the address can't be used. */
  listen: () => Promise<void>;
  /** Returns the URL of the metrics; null unless the server listens. */
  url: () => string | null;
  close: () => Promise<void>;
};

type Served = Pick<Context, 'config' | 'store' | 'now' | 'log' | 'lostLogLines' | 'onReset'>;

/** Returns the metrics server, which does not listen yet. */
export function createMetricsServer(context: Served): MetricsServer {
  const { metricsHost, metricsPort } = context.config;
  const metrics = collectMetrics(context);
  const timeouts = { requestTimeout: timeoutMilliseconds, headersTimeout: timeoutMilliseconds };
  const server = createServer(timeouts, guarded(context.config, scrapeHandler(metrics, context)));
  server.maxConnections = maxConnections;
  return {
    metrics,
    listen: async () => {
      server.listen(metricsPort, metricsHost);
      await once(server, 'listening').catch((error: NodeJS.ErrnoException) => {
        const reason = error.code === 'EADDRINUSE' ? 'it is in use' : error.message;
        throw new ConfigError(`can't serve metrics on ${metricsHost}:${metricsPort}: ${reason}`);
      });
    },
    url: () => (server.listening ? `${urlOf('http', server.address() as AddressInfo)}/metrics` : null),
    close: async () => {
      if (!server.listening) return;
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/**
 * Returns a listener that passes on requests to this host that carry the token, if there is one.
 */
function guarded(config: Config, handle: RequestListener): RequestListener {
  const hasToken = tokenCheck(config.metricsToken);
  return (req, res) => {
    if (!isOwnHost(req, config)) {
      return send(res, 421, 'Misdirected Request: the Host header does not name this server\n');
    }
    if (!hasToken(req)) return send(res, 401, 'Unauthorized\n', { 'WWW-Authenticate': 'Bearer' });
    return handle(req, res);
  };
}

function scrapeHandler(metrics: MetricsRegistry, { log }: Pick<Context, 'log'>): RequestListener {
  return async (req, res) => {
    if (req.url?.split('?')[0] !== '/metrics') return send(res, 404, 'Not Found: see /metrics\n');
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      return send(res, 405, 'Method Not Allowed\n', { Allow: 'GET, HEAD' });
    }
    try {
      send(res, 200, await metrics.text(), { 'Content-Type': metrics.contentType });
    } catch (error) {
      log.error({ err: error }, 'collecting metrics failed');
      send(res, 500, 'Internal Server Error\n');
    }
  };
}

/**
 * Returns whether the Host header names this server. After DNS rebinding, a browser sends the name
 * of the attacker's page instead. With a token the check is not needed: the page does not have it.
 */
function isOwnHost({ headers }: IncomingMessage, { metricsHost, metricsToken }: Config): boolean {
  if (metricsToken !== undefined) return true;
  const url = URL.parse(`http://${headers.host}`);
  if (!url) return false;
  const host = hostOf(url);
  return isLoopback(host) || host === metricsHost.toLowerCase();
}

/**
 * Compares hashes: they have equal lengths, so the comparison takes the same time for any token.
 */
function tokenCheck(token: Config['metricsToken']): (req: IncomingMessage) => boolean {
  if (token === undefined) return () => true;
  const expected = digest(token);
  return ({ headers: { authorization = '' } }) => {
    const [, given = ''] = /^Bearer +(\S+)$/i.exec(authorization) ?? [];
    return timingSafeEqual(digest(given), expected);
  };
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function send(res: ServerResponse, status: number, text: string, headers: Record<string, string> = {}): void {
  res.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    ...headers,
    'Content-Length': Buffer.byteLength(text),
  });
  res.end(text);
}
