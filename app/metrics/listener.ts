import { createHash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ConfigError } from '../config/config.ts';
import type { Config } from '../config/settings.ts';
import type { Context } from '../context.ts';
import { hostOf, isLoopback, urlOf } from '../http/addresses.ts';
import type { Collected } from './registry.ts';

/** Scrapers are few and quick. */
const maxConnections = 20;
const timeoutMilliseconds = 10_000;

export type MetricsServer = { url: string; close: () => Promise<void> };

export { collectMetrics } from './registry.ts';

/** Serves the metrics on their own address, and resolves once it listens. Rejects with ConfigError when it can't. */
export async function serveMetrics(
  metrics: Collected,
  context: Pick<Context, 'config' | 'log'>,
): Promise<MetricsServer> {
  const { metricsHost, metricsPort, metricsToken } = context.config;
  const answer = answerer(metrics, context);
  const isAllowed = tokenCheck(metricsToken);
  const timeouts = { requestTimeout: timeoutMilliseconds, headersTimeout: timeoutMilliseconds };
  const server = createServer(timeouts, (req, res) => {
    if (!isOwnHost(req, context.config)) return send(res, 421, 'Misdirected Request: no name of this server\n');
    if (!isAllowed(req)) return send(res, 401, 'Unauthorized\n', { 'WWW-Authenticate': 'Bearer' });
    void answer(req, res);
  });
  server.maxConnections = maxConnections;
  server.listen(metricsPort, metricsHost);
  await once(server, 'listening').catch((error: NodeJS.ErrnoException) => {
    const reason = error.code === 'EADDRINUSE' ? 'it is in use' : error.message;
    throw new ConfigError(`can't serve metrics on ${metricsHost}:${metricsPort}: ${reason}`);
  });
  return {
    url: `${urlOf('http', server.address() as AddressInfo)}/metrics`,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function answerer(metrics: Collected, { log }: Pick<Context, 'log'>) {
  return async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
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
 * Returns whether the request names this server. A browser that a page's own name leads here names that (DNS rebinding);
 * where there is a token, the page has none.
 */
function isOwnHost({ headers }: IncomingMessage, { metricsHost, metricsToken }: Config): boolean {
  if (metricsToken !== undefined) return true;
  const url = URL.parse(`http://${headers.host}`);
  if (!url) return false;
  const host = hostOf(url);
  return isLoopback(host) || host === metricsHost.toLowerCase();
}

/** Hashes are of one length: comparing them takes the same time whatever was sent. */
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
