import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import type { Express } from 'express';
import type { Config } from '../../config/settings.ts';
import { expressClasses } from '../../internals/express-classes.ts';
import { urlOf } from '../addresses.ts';
import { answerBadHttp } from './bad-http.ts';
import { ConnectionLimit, maxHeaderBytes } from './limit.ts';
import { closeGently } from './linger.ts';
import { readCertificate } from './tls.ts';
import { handleUpgrades } from './upgrades.ts';

export type Listener = {
  /** Listens on the configured address. Resolves to the URL. */
  listen: () => Promise<string>;
  /**
   * Reads the certificate again, for new connections. Throws CertificateError and keeps the old one
   * if that fails.
   */
  reloadCertificate: () => void;
  /** Stops listening. Resolves when open requests have ended, or after this many seconds. */
  drain: (seconds: number) => Promise<void>;
};

/**
 * Returns the HTTP server of the application, or its HTTPS server if there is a certificate, with
 * its timeouts and its limit on connections. `isForwarded` says which requests to upgrade a
 * connection the application sends on.
 */
export function createListener(
  app: Express,
  config: Config,
  certificate: SecureContextOptions | null,
  isForwarded: (req: IncomingMessage) => boolean,
): Listener {
  const options = { ...expressClasses(app), ...limitsOf(config), shouldUpgradeCallback: isForwarded };
  const server = certificate ? createHttpsServer({ ...options, ...certificate }, app) : createHttpServer(options, app);
  // The application refuses an unknown Expect header: Node's own 417 has no body.
  server.on('checkExpectation', (req, res) => void server.emit('request', req, res));
  handleUpgrades(server, app, options.ServerResponse);
  closeGently(server);
  server.on('clientError', answerBadHttp);
  server.setTimeout(config.requestSeconds * 2000);
  const connections = new ConnectionLimit(server, config.maxConnections);
  return {
    listen: async () => {
      server.listen(config.port, config.host);
      await once(server, 'listening');
      return urlOf(certificate ? 'https' : 'http', server.address() as AddressInfo);
    },
    reloadCertificate: () => {
      const renewed = readCertificate(config);
      if (renewed) (server as HttpsServer).setSecureContext(renewed);
    },
    drain: (seconds) => connections.drain(seconds),
  };
}

/**
 * A request that arrives too slowly is answered 408. Idle connections are kept longer than the
 * minute for which proxies keep theirs (nginx's keepalive_timeout, AWS's load balancers), so that
 * the proxy is the side that closes first.
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
    // The application refuses a request without Host: Node's own 400 has no body.
    requireHostHeader: false,
  };
}
