import { filterMutants } from './filters.ts';
import { limitMutants } from './limits.ts';
import type { Mutant } from './mutant.ts';
import { refusalMutants } from './refusals.ts';
import { shapeMutants } from './shapes.ts';

export const mutants: Mutant[] = [...shapeMutants, ...limitMutants, ...filterMutants, ...refusalMutants];

/** Returns the table of what is wrong with each and the rule that catches it, in Markdown. */
export function mutantTable(): string {
  const cells = mutants.map(({ name, wrong, rule }) => [name, wrong, `\`${rule}\``]);
  return [['mutant', 'what is wrong', 'caught by'], ['---', '---', '---'], ...cells]
    .map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');
}
