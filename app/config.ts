import { apiKeyPattern } from '../db/credentials.ts';
import { type NetworkConfig, networkSettings } from './network-settings.ts';
import { duration, integer, matching, type Setting, text } from './setting.ts';

export type Config = NetworkConfig & {
  host: string;
  port: number;
  db: string;
  apiKey: string | undefined;
  logLevel: string;
  validateResponses: boolean;
  tokenSeconds: number;
  loginAttempts: number;
  sweepSeconds: number;
  /** in milliseconds */
  retention: number | undefined;
  shutdownSeconds: number;
};

/** Every setting of the server: the only list of them. Flags win over the environment, that over the defaults. */
export const settings: { [K in keyof Config]: Setting<Config[K]> } = {
  host: {
    variable: 'SANDPIT_HOST',
    flag: 'host',
    argument: 'address',
    help: 'address to listen on',
    fallback: '127.0.0.1',
    read: text,
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
    help: 'database file, made if missing',
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
  shutdownSeconds: {
    variable: 'SANDPIT_SHUTDOWN_SECONDS',
    flag: 'shutdown-seconds',
    argument: 'seconds',
    help: 'how long a stop waits for open requests',
    fallback: 5,
    read: integer(0, 3600),
  },
  ...networkSettings,
};

/** A setting with a value that can't be used; the message names the variable or flag. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/**
 * Returns the configuration that flags (by setting name), environment and defaults give, in that order.
 * Throws ConfigError for the first value that can't be used.
 */
export function readConfig(flags: Record<string, unknown>, env: NodeJS.ProcessEnv = process.env): Config {
  const entries = Object.entries(settings).map(([name, setting]) => [name, readSetting(setting, flags[name], env)]);
  return Object.fromEntries(entries) as Config;
}

function readSetting(setting: Setting<unknown>, flag: unknown, env: NodeJS.ProcessEnv): unknown {
  const given = flag ?? env[setting.variable];
  if (given === undefined) return setting.fallback;
  try {
    return setting.read(String(given));
  } catch (error) {
    const name = flag === undefined ? setting.variable : `--${setting.flag}`;
    throw new ConfigError(`${name} ${(error as Error).message}`, { cause: error });
  }
}
