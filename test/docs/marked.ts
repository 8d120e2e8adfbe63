import { globSync, readFileSync, writeFileSync } from 'node:fs';

const root = new URL('../../', import.meta.url);

/** The pages, by their paths in the repository. */
export const pages: string[] = globSync('{.,app/**}/*.md', { cwd: root }).sort();

/**
 * The generated part of a page: the text between `<!-- name: command -->` and `<!-- end -->`. The
 * command writes it.
 */
export type Part = { page: string; name: string };

/** Returns the text of a page, e.g. `README.md`. */
export function readPage(page: string): string {
  return readFileSync(urlOf(page), 'utf8');
}

/** Returns the part's text in the page. Throws an Error if the page has no such part. */
export function partOf({ page, name }: Part): string {
  const [, , part] = markedBy(name).exec(readPage(page)) ?? [];
  if (part === undefined) throw new Error(`${page} has no part between <!-- ${name}: ... --> and <!-- end -->`);
  return part.trim();
}

/** Throws an Error with the expected text if the page has another text there. */
export function requirePart(part: Part, expected: string): void {
  if (partOf(part) !== expected) throw new Error(`${part.page} must have this part "${part.name}":\n\n${expected}\n`);
}

/** Writes the part into the page. Returns whether the page changed. */
export function writePart(part: Part, text: string): boolean {
  if (partOf(part) === text) return false;
  const page = readPage(part.page).replace(
    markedBy(part.name),
    (_, begin: string) => `${begin}\n${text}\n<!-- end -->`,
  );
  writeFileSync(urlOf(part.page), page);
  return true;
}

/**
 * Writes the part if `--write` is among the arguments, else requires it. Says which on standard
 * output.
 */
export function keepPart(part: Part, text: string): void {
  const isAsked = process.argv.includes('--write');
  if (!isAsked) requirePart(part, text);
  console.log(`${part.page}, ${part.name}: ${isAsked && writePart(part, text) ? 'written' : 'up to date'}`);
}

/** Returns the blocks of code in this language that a page shows. */
export function codeIn(page: string, language: string): string[] {
  return [...readPage(page).matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs'))].map(([, code = '']) => code);
}

/** Returns a table in Markdown. */
export function tableOf(headings: string[], rows: string[][]): string {
  return [headings, headings.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function markedBy(name: string): RegExp {
  return new RegExp(`(<!-- ${name}: [^\\n]* -->)\\n(.*?)<!-- end -->`, 's');
}

function urlOf(page: string): URL {
  return new URL(page, root);
}
