import type { Express } from 'express';
import type { User } from '../db/accounts/users.ts';
import { EventFeed } from '../db/events/feed.ts';
import { openAlone } from '../db/sqlite/open.ts';
import { loadContract, withoutTests } from '../spec/load.ts';
import { terminalUpgrades } from './api/instavm/machine/terminals/sockets.ts';
import type { TestMode } from './api/test-mode/mode.ts';
import { createApp } from './app.ts';
import { ConfigError, refuseOpenMetrics, refuseOpenProcesses } from './config/config.ts';
import type { Config } from './config/settings.ts';
import { SignInLinks } from './console/links.ts';
import type { Context } from './context.ts';
import { createListener } from './http/connections/listener.ts';
import { readCertificate } from './http/connections/tls.ts';
import { rateLimiter } from './http/rate-limit.ts';
import { startSweeper } from './jobs/sweeper.ts';
import { chooseMachines } from './machines/choose/at-start.ts';
import type { Choice } from './machines/choose/choose.ts';
import type { Driver } from './machines/driver.ts';
import { RequestHistory } from './metrics/recent.ts';
import { portUpgrades } from './ports/target.ts';
import { Dispatcher } from './webhooks/dispatcher.ts';

export type SandpitServer = {
  app: Express;
  context: Context;
  /** what runs machines, and why */
  choice: Choice;
  /** Listens; resolves to the URL. Rejects with ConfigError when an address can't be used. */
  start: () => Promise<string>;
  /** Returns the URL of the metrics; null unless they are being served. */
  metricsUrl: () => string | null;
  /** Returns the port of SSH; null unless it is offered. */
  sshPort: () => number | null;
  /** Reads the certificate again, for new connections. On CertificateError the old one stays. */
  reloadCertificate: () => void;
  /** Stops listening, waits up to `shutdownSeconds` for open requests, then closes the store. */
  close: () => Promise<void>;
};

type Overrides = Pick<Context, 'log'> &
  Partial<Pick<Context, 'now' | 'lostLogLines' | 'store' | 'contract'>> & {
    test?: TestMode | undefined;
    driver?: Driver | undefined;
  };

/**
 * The composition root. Tests override parts of it. Throws ConfigError, CertificateError, and
 * StoreError: `unusable` when the database can't be opened, `busy` when another server has it open.
 */
export async function createServer(config: Config, { test, driver, ...overrides }: Overrides): Promise<SandpitServer> {
  refuseOpenMetrics(config);
  refuseOpenProcesses(config);
  // Read before the store is opened, so that a bad certificate leaves no new database behind.
  const certificate = readCertificate(config);
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
    recent: new RequestHistory(() => performance.now()),
    stopping: stopping.signal,
  };
  // Imported only if needed, because the module slows the start.
  const metricsServer =
    config.metricsPort === undefined ? null : (await import('./metrics/server.ts')).createMetricsServer(base);
  const measured = { ...base, metrics: metricsServer?.metrics ?? null };
  const dispatcher = new Dispatcher(measured);
  const choice = await chooseMachines(base);
  if (config.sshPort !== undefined && choice.driver === null) throw new ConfigError(noSsh);
  const room =
    choice.driver === null
      ? null
      : await (await import('./machines/machines.ts')).openMachines(measured, choice.driver, driver);
  const machines = room?.machines ?? null;
  const links = new SignInLinks<User>(base.now);
  const context: Context = { ...measured, limitRate: rateLimiter(base), webhooks: dispatcher, links, machines };
  // Imported only if needed, because the module slows the start.
  const ssh =
    config.sshPort === undefined || !machines
      ? null
      : await (await import('./ssh/gateway.ts')).createSshGateway(context, machines);
  const app = createApp(context, test);
  const [isForPort, isForTerminal] = [portUpgrades(context), terminalUpgrades(context)];
  const listener = createListener(app, config, certificate, (req) => isForPort(req) || isForTerminal(req));
  const sweeper = startSweeper(context);
  return {
    app,
    context,
    choice,
    start: async () => {
      await metricsServer?.listen();
      await ssh?.listen();
      return listener.listen();
    },
    metricsUrl: () => metricsServer?.url() ?? null,
    sshPort: () => ssh?.address()?.port ?? null,
    reloadCertificate: listener.reloadCertificate,
    close: async () => {
      // Closing the feed ends the event streams, so that the drain does not wait for them.
      context.feed.close();
      stopping.abort();
      await ssh?.close();
      await listener.drain(config.shutdownSeconds);
      await room?.stop();
      await sweeper.stop();
      await dispatcher.stop();
      await metricsServer?.close();
      await store.close();
    },
  };
}

const noSsh =
  '--ssh-port needs machines, and there are none: start a container engine, or leave it out; sandpit doctor --machines says more';
