import { closest } from 'fastest-levenshtein';
import { variables } from './config.ts';

/** Returns a warning for each variable that looks like a setting and is none, with the nearest that is one. */
export function misspeltWarnings(names: string[]): string[] {
  return names
    .filter((name) => name.startsWith('SANDPIT_') && !variables.includes(name))
    .map((name) => `Warning: ${name} is no setting and is ignored. Is ${closest(name, variables)} meant?`);
}
