import { once } from 'node:events';
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Express, Request } from 'express';
import type { Logger } from 'pino';
import { EventFeed } from '../db/events/feed.ts';
import { openAlone, type Store } from '../db/sqlite/open.ts';
import { type Contract, loadContract, withoutTests } from '../spec/load.ts';
import type { TestMode } from './api/test-mode/mode.ts';
import { createApp } from './app.ts';
import { type Config, refuseOpenMetrics } from './config/config.ts';
import { urlOf } from './http/addresses.ts';
import { closeGently } from './http/bad-request.ts';
import { boundConnections, maxHeaderBytes } from './http/connections.ts';
import { rateLimiter } from './http/rate-limit.ts';
import type { Metrics } from './http/request-metrics.ts';
import { readCertificate } from './http/tls.ts';
import { expressClasses } from './internals/express-classes.ts';
import { startSweeper } from './jobs/sweeper.ts';
import type { MetricsServer } from './metrics/listener.ts';
import { Dispatcher } from './webhooks/dispatcher.ts';

/** What the routes work with. */
export type Context = {
  config: Config;
  contract: Contract;
  store: Store;
  log: Logger;
  /** Returns how many lines of the log could not be written. */
  lostLogLines: () => number;
  /** Milliseconds since 1970; the only clock that a rule may read. */
  now: () => number;
  /** When API keys were last used, by key id, until the sweeper writes it down. */
  keyUse: Map<number, number>;
  /** Only a test server has it. */
  test?: TestMode | undefined;
  /** Tells of new events; closed when the server stops. */
  feed: EventFeed;
  /** Null unless metrics are served. */
  metrics: Metrics | null;
  isDraining: boolean;
  /** Counts a request against whoever makes it. Throws HttpError 429 past the configured rate. */
  limitRate: (req: Request) => void;
  /** Sends events to those who want them. */
  webhooks: Pick<Dispatcher, 'wake' | 'startOver'>;
};

export type SandpitServer = {
  app: Express;
  context: Context;
  /** Listens; returns the URL. */
  start: () => Promise<string>;
  /** Where the metrics are, once it has started and if they are served. */
  metricsUrl: () => string | null;
  /** Reads the certificate again, for connections to come. Throws CertificateError and keeps the old one. */
  reloadCertificate: () => void;
  /** Stops listening, waits for open requests as long as configured, then closes the store. */
  close: () => Promise<void>;
};

/**
 * Puts the program together: store, rules, HTTP. Overrides are for tests.
 * Throws StoreError `unusable` when the database can't be opened, `busy` when another server has it, ConfigError when metrics would be open to all,
 * CertificateError when the certificate can't be used.
 */
export function createServer(
  config: Config,
  overrides: Pick<Context, 'log'> & Partial<Pick<Context, 'now' | 'lostLogLines' | 'store' | 'contract' | 'test'>>,
): SandpitServer {
  refuseOpenMetrics(config);
  const certificate = readCertificate(config);
  const store = overrides.store ?? openAlone(config.db);
  const now = overrides.now ?? Date.now;
  const context: Context = {
    config,
    contract: overrides.contract ?? (overrides.test ? loadContract() : withoutTests(loadContract())),
    store,
    log: overrides.log,
    lostLogLines: overrides.lostLogLines ?? (() => 0),
    now,
    keyUse: new Map(),
    test: overrides.test,
    feed: new EventFeed(store),
    metrics: null,
    isDraining: false,
    limitRate: rateLimiter({ config, now, test: overrides.test }),
    webhooks: { wake: () => {}, startOver: (change) => change() },
  };
  const dispatcher = new Dispatcher(context);
  context.webhooks = dispatcher;
  const app = createApp(context);
  const options = { ...expressClasses(app), ...limitsOf(config) };
  const server = certificate ? createHttpsServer({ ...options, ...certificate }, app) : createHttpServer(options, app);
  // By itself Node would answer 417 without a body.
  server.on('checkExpectation', (req, res) => void server.emit('request', req, res));
  closeGently(server);
  server.setTimeout(config.requestSeconds * 2000);
  const drain = boundConnections(server, config.maxConnections);
  const sweeper = startSweeper(context);
  let metricsServer: MetricsServer | null = null;

  return {
    app,
    context,
    start: async () => {
      metricsServer = await startMetrics(context);
      return listen(server, config);
    },
    metricsUrl: () => metricsServer?.url ?? null,
    reloadCertificate: () => {
      const renewed = readCertificate(config);
      if (renewed) (server as HttpsServer).setSecureContext(renewed);
    },
    close: async () => {
      // Streams of events end by themselves: nothing waits for them.
      context.feed.close();
      context.isDraining = true;
      await drain(config.shutdownSeconds);
      await sweeper.stop();
      await dispatcher.stop();
      await metricsServer?.close();
      await context.store.close();
    },
  };
}

/** Loaded only where it is wanted: a start is to take no longer for it. */
async function startMetrics(context: Context): Promise<MetricsServer | null> {
  if (context.config.metricsPort === undefined) return null;
  const { serveMetrics } = await import('./metrics/listener.ts');
  const served = await serveMetrics(context);
  context.metrics = served.metrics;
  return served;
}

/**
 * What a client may take: a slow one is answered 408. Idle connections are kept for longer than the minute for which
 * proxies keep theirs (nginx's keepalive_timeout, AWS's load balancers), as the one that closes first must be the proxy.
 */
function limitsOf({ requestSeconds }: Config) {
  const headersTimeout = Math.min(requestSeconds, 10) * 1000;
  return {
    maxHeaderSize: maxHeaderBytes,
    headersTimeout,
    handshakeTimeout: headersTimeout,
    requestTimeout: requestSeconds * 1000,
    keepAliveTimeout: 65_000,
    connectionsCheckingInterval: 500,
    // A request without one is refused like others: node's own 400 has no body.
    requireHostHeader: false,
  };
}

async function listen(server: Server, { host, port, tlsCert }: Config): Promise<string> {
  server.listen(port, host);
  await once(server, 'listening');
  return urlOf(tlsCert === undefined ? 'http' : 'https', server.address() as AddressInfo);
}
