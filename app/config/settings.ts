import { apiKeyPattern } from '../../db/accounts/secrets.ts';
import { type MachineConfig, machineSettings } from './machine-settings.ts';
import {
  domain,
  type Networks,
  networks,
  origins,
  proxies,
  type Rate,
  rate,
  type TrustedProxies,
} from './network-readers.ts';
import { address, duration, integer, matching, oneOf, text } from './readers.ts';
import type { Setting } from './setting.ts';

export type Config = MachineConfig & {
  host: string;
  port: number;
  sshPort: number | undefined;
  domain: string | undefined;
  db: string;
  apiKey: string | undefined;
  logLevel: string;
  logFormat: 'auto' | 'pretty' | 'json';
  validateResponses: boolean;
  console: boolean;
  tokenSeconds: number;
  loginAttempts: number;
  sweepSeconds: number;
  /** Milliseconds. */
  retention: number | undefined;
  /** Milliseconds. */
  eventRetention: number | undefined;
  shutdownSeconds: number;
  metricsHost: string;
  metricsPort: number | undefined;
  metricsToken: string | undefined;
  tlsCert: string | undefined;
  tlsKey: string | undefined;
  corsOrigins: string[] | undefined;
  trustProxy: TrustedProxies;
  rateLimit: Rate | undefined;
  maxConcurrent: number;
  maxConnections: number;
  requestSeconds: number;
  webhookAllow: Networks | undefined;
};

/**
 * Every setting of the server. `--help`, the environment and the documentation all come from this
 * table.
 */
export const settings: { [K in keyof Config]: Setting<Config[K]> } = {
  host: {
    variable: 'SANDPIT_HOST',
    flag: 'host',
    argument: 'address',
    help: 'address to listen on',
    fallback: '127.0.0.1',
    read: address,
  },
  port: {
    variable: 'SANDPIT_PORT',
    flag: 'port',
    argument: 'number',
    help: 'port to listen on; 0 chooses a free one',
    fallback: 3000,
    read: integer(0, 65_535),
  },
  sshPort: {
    variable: 'SANDPIT_SSH_PORT',
    flag: 'ssh-port',
    argument: 'number',
    help: 'port where ssh and scp reach machines, with the keys of /v1/ssh-keys; 0 chooses a free one (default: off)',
    fallback: undefined,
    read: integer(0, 65_535),
  },
  domain: {
    variable: 'SANDPIT_DOMAIN',
    flag: 'domain',
    argument: 'name',
    help: "domain that E2B's clients get as E2B_DOMAIN: they call api.<domain> over TLS, e.g. sandboxes.example.com:8443",
    fallback: undefined,
    read: domain,
  },
  db: {
    variable: 'SANDPIT_DB',
    flag: 'db',
    argument: 'file',
    help: 'database file; serve and users create make it if it is missing',
    fallback: './sandpit.db',
    read: text,
  },
  ...machineSettings,
  apiKey: {
    variable: 'SANDPIT_API_KEY',
    flag: 'api-key',
    argument: 'key',
    help: 'first API key of a new database (default: a random key)',
    fallback: undefined,
    read: (value) => matching(value, apiKeyPattern, 'e2b_ followed by 40 lower-case hexadecimal digits'),
  },
  logLevel: {
    variable: 'SANDPIT_LOG_LEVEL',
    flag: 'log-level',
    argument: 'level',
    help: 'lowest level to log: fatal, error, warn, info, debug, trace or silent',
    fallback: 'info',
    read: oneOf('fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'),
  },
  logFormat: {
    variable: 'SANDPIT_LOG_FORMAT',
    flag: 'log-format',
    argument: 'format',
    help: 'json, pretty (for people), or auto: pretty on a terminal, json elsewhere',
    fallback: 'auto',
    read: oneOf('auto', 'pretty', 'json'),
  },
  validateResponses: {
    variable: 'SANDPIT_VALIDATE_RESPONSES',
    flag: 'validate-responses',
    argument: 'boolean',
    help: 'check every response against the contract; answer 500 instead of one that breaks it',
    fallback: false,
    read: (value) => oneOf('true', 'false')(value) === 'true',
  },
  console: {
    variable: 'SANDPIT_CONSOLE',
    flag: 'console',
    argument: 'boolean',
    help: 'serve the console, the page at /console/',
    fallback: true,
    read: (value) => oneOf('true', 'false')(value) === 'true',
  },
  tokenSeconds: {
    variable: 'SANDPIT_TOKEN_SECONDS',
    flag: 'token-seconds',
    argument: 'seconds',
    help: 'lifetime of an access token',
    fallback: 3600,
    read: integer(1, 31_536_000),
  },
  loginAttempts: {
    variable: 'SANDPIT_LOGIN_ATTEMPTS',
    flag: 'login-attempts',
    argument: 'number',
    help: 'failed logins allowed per minute, for each user name and each client address',
    fallback: 10,
    read: integer(1, 1_000_000),
  },
  sweepSeconds: {
    variable: 'SANDPIT_SWEEP_SECONDS',
    flag: 'sweep-seconds',
    argument: 'seconds',
    help: 'interval at which expired sandboxes are marked as killed',
    fallback: 5,
    read: integer(1, 3600),
  },
  retention: {
    variable: 'SANDPIT_RETENTION',
    flag: 'retention',
    argument: 'duration',
    help: 'how long to keep ended sandboxes, e.g. 30d, 12h, 90m or 45s (default: keep forever)',
    fallback: undefined,
    read: duration,
  },
  eventRetention: {
    variable: 'SANDPIT_EVENT_RETENTION',
    flag: 'event-retention',
    argument: 'duration',
    help: 'how long to keep events and their webhook deliveries, e.g. 90d or 12h (default: keep forever)',
    fallback: undefined,
    read: duration,
  },
  shutdownSeconds: {
    variable: 'SANDPIT_SHUTDOWN_SECONDS',
    flag: 'shutdown-seconds',
    argument: 'seconds',
    help: 'how long to wait for open requests when the server stops',
    fallback: 5,
    read: integer(0, 3600),
  },
  metricsHost: {
    variable: 'SANDPIT_METRICS_HOST',
    flag: 'metrics-host',
    argument: 'address',
    help: 'address to serve metrics on; a token is required unless the address is loopback',
    fallback: '127.0.0.1',
    read: address,
  },
  metricsPort: {
    variable: 'SANDPIT_METRICS_PORT',
    flag: 'metrics-port',
    argument: 'number',
    help: 'port to serve Prometheus metrics on; 0 chooses a free one (default: metrics are off)',
    fallback: undefined,
    read: integer(0, 65_535),
  },
  metricsToken: {
    variable: 'SANDPIT_METRICS_TOKEN',
    flag: 'metrics-token',
    argument: 'token',
    help: 'bearer token that a scraper must send',
    fallback: undefined,
    read: (value) => matching(value, /^[\w.~+/-]{16,}=*$/, 'at least 16 characters: letters, digits or -._~+/'),
  },
  tlsCert: {
    variable: 'SANDPIT_TLS_CERT',
    flag: 'tls-cert',
    argument: 'file',
    help: 'certificate chain in PEM; turns on HTTPS; SIGHUP reloads it',
    fallback: undefined,
    read: text,
  },
  tlsKey: {
    variable: 'SANDPIT_TLS_KEY',
    flag: 'tls-key',
    argument: 'file',
    help: 'private key of the certificate in PEM, without a passphrase',
    fallback: undefined,
    read: text,
  },
  corsOrigins: {
    variable: 'SANDPIT_CORS_ORIGINS',
    flag: 'cors-origins',
    argument: 'origins',
    help: 'comma-separated origins that browsers may call from, or * for any (default: none)',
    fallback: undefined,
    read: origins,
  },
  trustProxy: {
    variable: 'SANDPIT_TRUST_PROXY',
    flag: 'trust-proxy',
    argument: 'proxies',
    help: 'proxies whose X-Forwarded-For is trusted: their number, or their comma-separated addresses',
    fallback: false,
    read: proxies,
  },
  rateLimit: {
    variable: 'SANDPIT_RATE_LIMIT',
    flag: 'rate-limit',
    argument: 'rate',
    help: 'requests allowed for each API key or user, and for each address without a key, e.g. 50/s or 600/m (default: no limit)',
    fallback: undefined,
    read: rate,
  },
  maxConcurrent: {
    variable: 'SANDPIT_MAX_CONCURRENT',
    flag: 'max-concurrent',
    argument: 'number',
    help: 'requests handled at the same time; further ones are answered 503',
    fallback: 1024,
    read: integer(1, 100_000),
  },
  maxConnections: {
    variable: 'SANDPIT_MAX_CONNECTIONS',
    flag: 'max-connections',
    argument: 'number',
    help: 'open connections; at the limit, the longest-idle connection is closed',
    fallback: 8192,
    read: integer(1, 1_000_000),
  },
  requestSeconds: {
    variable: 'SANDPIT_REQUEST_SECONDS',
    flag: 'request-seconds',
    argument: 'seconds',
    help: 'how long a request may take to arrive; its headers may take 10 at most',
    fallback: 30,
    read: integer(1, 3600),
  },
  webhookAllow: {
    variable: 'SANDPIT_WEBHOOK_ALLOW',
    flag: 'webhook-allow',
    argument: 'networks',
    help: 'comma-separated private networks that webhooks may be sent to, e.g. 127.0.0.0/8,10.1.2.3 (default: none)',
    fallback: undefined,
    read: networks,
  },
};
