import { isLoopback } from '../http/addresses.ts';
import type { Setting } from './setting.ts';
import { type Config, settings } from './settings.ts';

/** A setting whose value cannot be used. The message names the variable or the flag. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/**
 * Returns the configuration. For each setting the first of these counts: its flag (by setting
 * name), its environment variable, its entry in `fallbacks`, its default. Throws ConfigError for
 * the first value that cannot be used.
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

/** Returns undefined if neither the flag nor the variable is set. */
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

/** Throws ConfigError if others could run commands on this machine through the driver for tests. */
export function refuseOpenProcesses({ machines, host }: Config): void {
  if (machines !== 'process' || isLoopback(host)) return;
  throw new ConfigError(
    `--machines process runs commands on this machine without isolation, so it listens on loopback only (127.0.0.1 or ::1), not on ${host}: use --machines docker`,
  );
}

/** Throws ConfigError if other machines could read the metrics without a token. */
export function refuseOpenMetrics({ metricsPort, metricsHost, metricsToken }: Config): void {
  if (metricsPort === undefined || metricsToken !== undefined || isLoopback(metricsHost)) return;
  const { metricsToken: token, metricsHost: host } = settings;
  throw new ConfigError(
    `other machines could read the metrics on ${metricsHost}: set ${token.variable}, or leave ${host.variable} at ${host.fallback}`,
  );
}
