import { type Part, tableOf } from '../docs/marked.ts';
import { filterMutants } from './filters.ts';
import { limitMutants } from './limits.ts';
import type { Mutant } from './mutant.ts';
import { refusalMutants } from './refusals.ts';
import { shapeMutants } from './shapes.ts';

export const mutants: Mutant[] = [...shapeMutants, ...limitMutants, ...filterMutants, ...refusalMutants];

/** The part of a page that the table is written into. */
export const part: Part = { page: 'CONTRACT-TESTING.md', name: 'mutants' };

/** Returns a table in Markdown: each mutant, its defect, and the rule that catches it. */
export function mutantTable(): string {
  const rows = mutants.map(({ name, wrong, rule }) => [name, wrong, `\`${rule}\``]);
  return tableOf(
    ['mutant', 'what is wrong', 'caught by'],
    rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|'))),
  );
}
