/** Variables of `sandpit conform`. They keep credentials out of the list of processes. */
export const conformVariables = {
  url: 'SANDPIT_CONFORM_URL',
  apiKey: 'SANDPIT_CONFORM_API_KEY',
  bearer: 'SANDPIT_CONFORM_BEARER',
  secondApiKey: 'SANDPIT_CONFORM_SECOND_API_KEY',
} as const;

export type ConformTarget = { [name in keyof typeof conformVariables]?: string | undefined };

/**
 * Returns the URL and credentials of the server to test. Flags win over the environment; empty
 * values count as unset.
 */
export function readConformTarget(flags: ConformTarget, env: NodeJS.ProcessEnv = process.env): ConformTarget {
  const entries = Object.entries(conformVariables).map(([name, variable]) => [
    name,
    flags[name as keyof ConformTarget] ?? env[variable],
  ]);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined && value !== ''));
}
