import { apiKeyPattern } from '../../db/accounts/credentials.ts';
import { isLoopback } from '../http/loopback.ts';
import { type NetworkConfig, networkSettings } from './network.ts';
import { address, duration, integer, matching, type Setting, text } from './readers.ts';

export type Config = NetworkConfig & {
  host: string;
  port: number;
  db: string;
  apiKey: string | undefined;
  logLevel: string;
  logFormat: 'auto' | 'pretty' | 'json';
  validateResponses: boolean;
  tokenSeconds: number;
  loginAttempts: number;
  sweepSeconds: number;
  /** in milliseconds */
  retention: number | undefined;
  /** in milliseconds */
  eventRetention: number | undefined;
  shutdownSeconds: number;
  metricsHost: string;
  metricsPort: number | undefined;
  metricsToken: string | undefined;
};

/** Every setting of the server: the only list of them. Flags win over the environment, that over the defaults. */
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
    help: 'port to listen on, 0 for a free one',
    fallback: 3000,
    read: integer(0, 65_535),
  },
  db: {
    variable: 'SANDPIT_DB',
    flag: 'db',
    argument: 'file',
    help: 'the database file, made by serve and users create',
    fallback: './sandpit.db',
    read: text,
  },
  apiKey: {
    variable: 'SANDPIT_API_KEY',
    flag: 'api-key',
    argument: 'key',
    help: 'the first API key of a new database, instead of a random one',
    fallback: undefined,
    read: (value) => matching(value, apiKeyPattern, 'e2b_ and 40 hexadecimal digits in lower case'),
  },
  logLevel: {
    variable: 'SANDPIT_LOG_LEVEL',
    flag: 'log-level',
    argument: 'level',
    help: 'fatal, error, warn, info, debug, trace or silent',
    fallback: 'info',
    read: (value) =>
      matching(
        value,
        /^(fatal|error|warn|info|debug|trace|silent)$/,
        'fatal, error, warn, info, debug, trace or silent',
      ),
  },
  logFormat: {
    variable: 'SANDPIT_LOG_FORMAT',
    flag: 'log-format',
    argument: 'format',
    help: 'json, pretty (for people), or auto: pretty on a terminal, json elsewhere',
    fallback: 'auto',
    read: (value) => matching(value, /^(auto|pretty|json)$/, 'auto, pretty or json') as Config['logFormat'],
  },
  validateResponses: {
    variable: 'SANDPIT_VALIDATE_RESPONSES',
    flag: 'validate-responses',
    argument: 'boolean',
    help: 'answer 500 rather than break the contract',
    fallback: false,
    read: (value) => matching(value, /^(true|false)$/, 'true or false') === 'true',
  },
  tokenSeconds: {
    variable: 'SANDPIT_TOKEN_SECONDS',
    flag: 'token-seconds',
    argument: 'seconds',
    help: 'how long an access token is valid',
    fallback: 3600,
    read: integer(1, 31_536_000),
  },
  loginAttempts: {
    variable: 'SANDPIT_LOGIN_ATTEMPTS',
    flag: 'login-attempts',
    argument: 'number',
    help: 'failed logins a minute, for one user name and for one address',
    fallback: 10,
    read: integer(1, 1_000_000),
  },
  sweepSeconds: {
    variable: 'SANDPIT_SWEEP_SECONDS',
    flag: 'sweep-seconds',
    argument: 'seconds',
    help: 'how often expired sandboxes are marked as killed',
    fallback: 5,
    read: integer(1, 3600),
  },
  retention: {
    variable: 'SANDPIT_RETENTION',
    flag: 'retention',
    argument: 'duration',
    help: 'how long ended sandboxes are kept: 30d, 12h, 90m or 45s, say; for ever unless given',
    fallback: undefined,
    read: duration,
  },
  eventRetention: {
    variable: 'SANDPIT_EVENT_RETENTION',
    flag: 'event-retention',
    argument: 'duration',
    help: 'how long events and the messages made of them, taken or not, are kept: 90d, 12h, 90m or 45s, say; for ever unless given',
    fallback: undefined,
    read: duration,
  },
  shutdownSeconds: {
    variable: 'SANDPIT_SHUTDOWN_SECONDS',
    flag: 'shutdown-seconds',
    argument: 'seconds',
    help: 'how long a stop waits for open requests',
    fallback: 5,
    read: integer(0, 3600),
  },
  metricsHost: {
    variable: 'SANDPIT_METRICS_HOST',
    flag: 'metrics-host',
    argument: 'address',
    help: 'address to serve metrics on; beyond this machine it takes a token',
    fallback: '127.0.0.1',
    read: address,
  },
  metricsPort: {
    variable: 'SANDPIT_METRICS_PORT',
    flag: 'metrics-port',
    argument: 'number',
    help: 'port to serve metrics for Prometheus on, 0 for a free one; none are served unless given',
    fallback: undefined,
    read: integer(0, 65_535),
  },
  metricsToken: {
    variable: 'SANDPIT_METRICS_TOKEN',
    flag: 'metrics-token',
    argument: 'token',
    help: 'what a scraper must send as Authorization: Bearer',
    fallback: undefined,
    read: (value) => matching(value, /^[\w.~+/-]{16,}=*$/, 'at least 16 letters, digits or -._~+/'),
  },
  ...networkSettings,
};

/** A setting with a value that can't be used; the message names the variable or flag. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/**
 * Returns the configuration that flags (by setting name), environment and defaults give, in that order; `fallbacks` are
 * defaults that go before those of the settings. Throws ConfigError for the first value that can't be used.
 */
export function readConfig(
  flags: Record<string, unknown>,
  env: NodeJS.ProcessEnv = process.env,
  fallbacks: Partial<Config> = {},
): Config {
  const defaults: Record<string, unknown> = fallbacks;
  const entries = Object.entries(settings).map(([name, setting]) => [
    name,
    readSetting(setting, flags[name], env) ?? defaults[name] ?? setting.fallback,
  ]);
  return Object.fromEntries(entries) as Config;
}

/** Throws ConfigError where metrics would be open to other machines. */
export function refuseOpenMetrics({ metricsPort, metricsHost, metricsToken }: Config): void {
  if (metricsPort === undefined || metricsToken !== undefined || isLoopback(metricsHost)) return;
  throw new ConfigError(
    `metrics on ${metricsHost} could be read by other machines: set ${settings.metricsToken.variable}, or leave ${settings.metricsHost.variable} at ${settings.metricsHost.fallback}`,
  );
}

/** Returns undefined where nothing was given. */
function readSetting(setting: Setting<unknown>, flag: unknown, env: NodeJS.ProcessEnv): unknown {
  const given = flag ?? env[setting.variable];
  if (given === undefined) return undefined;
  try {
    return setting.read(String(given));
  } catch (error) {
    const name = flag === undefined ? setting.variable : `--${setting.flag}`;
    throw new ConfigError(`${name} ${(error as Error).message}`, { cause: error });
  }
}

/** What `sandpit conform` may be told here, so that no key stands in the list of processes. */
const conformVariables = {
  url: 'SANDPIT_CONFORM_URL',
  apiKey: 'SANDPIT_CONFORM_API_KEY',
  bearer: 'SANDPIT_CONFORM_BEARER',
  secondApiKey: 'SANDPIT_CONFORM_SECOND_API_KEY',
} as const;

export type ConformTarget = { [name in keyof typeof conformVariables]?: string | undefined };

/** Returns which server to test and with what credentials: what the flags don't say, from the environment. */
export function readConformTarget(flags: ConformTarget, env: NodeJS.ProcessEnv = process.env): ConformTarget {
  const entries = Object.entries(conformVariables).map(([name, variable]) => [
    name,
    flags[name as keyof ConformTarget] ?? env[variable],
  ]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined && value !== ''));
}

/** Every variable that the program reads. */
export const variables: string[] = [
  ...Object.values(settings).map(({ variable }) => variable),
  ...Object.values(conformVariables),
];

/** Returns the names of all variables that are set. */
export function setVariables(env: NodeJS.ProcessEnv = process.env): string[] {
  return Object.keys(env);
}
