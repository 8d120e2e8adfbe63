import type { Express } from 'express';
import { EventFeed } from '../db/events/feed.ts';
import { openAlone } from '../db/sqlite/open.ts';
import { loadContract, withoutTests } from '../spec/load.ts';
import type { TestMode } from './api/test-mode/mode.ts';
import { createApp } from './app.ts';
import { refuseOpenMetrics } from './config/config.ts';
import type { Config } from './config/settings.ts';
import type { Context } from './context.ts';
import { createListener } from './http/connections/listener.ts';
import { rateLimiter } from './http/rate-limit.ts';
import { startSweeper } from './jobs/sweeper.ts';
import type { MetricsServer } from './metrics/listener.ts';
import { Dispatcher } from './webhooks/dispatcher.ts';

export type SandpitServer = {
  app: Express;
  context: Context;
  /** Listens; resolves to the URL. */
  start: () => Promise<string>;
  /** Returns the URL of the metrics; null before the start, and when they are not served. */
  metricsUrl: () => string | null;
  /** Reads the certificate again, for new connections. Throws CertificateError and keeps the old one. */
  reloadCertificate: () => void;
  /** Stops listening, waits for open requests as long as configured, then closes the store. */
  close: () => Promise<void>;
};

type Overrides = Pick<Context, 'log'> &
  Partial<Pick<Context, 'now' | 'lostLogLines' | 'store' | 'contract'>> & { test?: TestMode | undefined };

/**
 * Composes the program: store, rules, HTTP, background jobs. Tests override parts of it.
 * Throws StoreError `unusable` when the database can't be opened, `busy` when another server has it, ConfigError
 * when metrics would be open to everybody, CertificateError when the certificate can't be used.
 */
export async function createServer(config: Config, { test, ...overrides }: Overrides): Promise<SandpitServer> {
  refuseOpenMetrics(config);
  // Loaded only when metrics are served, because it slows the start.
  const metricsModule = config.metricsPort === undefined ? null : await import('./metrics/listener.ts');
  const stopping = new AbortController();
  const store = overrides.store ?? openAlone(config.db);
  const base = {
    config,
    contract: overrides.contract ?? (test ? loadContract() : withoutTests(loadContract())),
    store,
    log: overrides.log,
    lostLogLines: overrides.lostLogLines ?? (() => 0),
    now: overrides.now ?? Date.now,
    keyUse: new Map(),
    isTest: test !== undefined,
    onReset: (clear: () => void) => test?.onReset(clear),
    feed: new EventFeed(store),
    stopping: stopping.signal,
  };
  const metrics = metricsModule?.collectMetrics(base) ?? null;
  const dispatcher = new Dispatcher({ ...base, metrics });
  const context: Context = { ...base, metrics, limitRate: rateLimiter(base), webhooks: dispatcher };
  const app = createApp(context, test);
  const listener = createListener(app, config);
  const sweeper = startSweeper(context);
  let metricsServer: MetricsServer | null = null;

  return {
    app,
    context,
    start: async () => {
      if (metricsModule && metrics) metricsServer = await metricsModule.serveMetrics(metrics, context);
      return listener.listen();
    },
    metricsUrl: () => metricsServer?.url ?? null,
    reloadCertificate: listener.reloadCertificate,
    close: async () => {
      // Closing the feed ends the event streams, so that the drain does not wait for them.
      context.feed.close();
      stopping.abort();
      await listener.drain(config.shutdownSeconds);
      await sweeper.stop();
      await dispatcher.stop();
      await metricsServer?.close();
      await store.close();
    },
  };
}
