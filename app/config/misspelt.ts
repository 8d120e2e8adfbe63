import { closest } from 'fastest-levenshtein';
import { conformVariables } from './conform.ts';
import { settings } from './settings.ts';

/** Every environment variable that the program reads. */
export const variables: string[] = [
  ...Object.values(settings).map(({ variable }) => variable),
  ...Object.values(conformVariables),
];

/**
 * Returns a warning for each `SANDPIT_` variable that is no setting, with the most similar setting.
 */
export function misspeltWarnings(env: NodeJS.ProcessEnv = process.env): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith('SANDPIT_') && !variables.includes(name))
    .map((name) => `Warning: ${name} is not a setting and is ignored. Did you mean ${closest(name, variables)}?`);
}
