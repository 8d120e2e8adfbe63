import { tableOf } from './marked.ts';

/** What a client's call may come to, as COMPATIBILITY.md defines it. */
export const results = ['works', 'on records only', 'refused in words', 'local'] as const;

export type Result = (typeof results)[number];

/**
 * The results of a client's calls in each of its versions; undefined where a version has no such
 * call.
 */
export type Results = Map<string, (Result | undefined)[]>;

/**
 * Returns a table in Markdown with a column for each version: the sums, then a row for the calls of
 * each part of the client that have the same results.
 */
export function sideBySide(versions: string[], calls: Results): string {
  const of = (name: string) => calls.get(name) ?? [];
  const rows = Map.groupBy([...calls.keys()].sort(), (name) => [partOf(name), ...of(name)].join('|'));
  const sums = results.map((result) => [
    `**${result}**`,
    ...versions.map((_, column) => [...calls.values()].filter((each) => each[column] === result).length),
  ]);
  const named = [...rows.values()].map(([first = '', ...others]) => [
    [first, ...others].map((name) => `\`${name}\``).join(', '),
    ...of(first).map((result) => result ?? '–'),
  ]);
  return tableOf(
    ['', ...versions],
    [...sums, ...named].map((cells) => cells.map(String)),
  );
}

/** Returns the part of the client that a call belongs to: `git` for `git.add`. */
function partOf(name: string): string {
  return /^(\w+)\./.exec(name)?.[1] ?? '';
}
