import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { keepPart } from '../../docs/marked.ts';
import { type Result, sideBySide } from '../../docs/results.ts';
import { preparePython } from '../../helpers/python.ts';

const here = fileURLToPath(new URL('.', import.meta.url));

/** The versions of E2B's Python package that are checked, oldest first. */
export const versions = ['2.45.1', '2.59.0', '2.63.0'];
export const domain = 'sandboxes.test';
export const apiKey = `e2b_${'6'.repeat(40)}`;

export type Line = { names: string[]; half: 'sync' | 'async'; result: Result; failure: string | null };

/** Returns the path of a Python that has this version of the package. */
export function pythonOf(version: string): string {
  return preparePython(`e2b-python-${version}`, `${here}requirements-${version}.txt`);
}

/** Runs the checks with these variables: those of a domain if there are no URLs. */
export async function resultsOf(version: string, variables: Record<string, string>): Promise<Line[]> {
  const child = spawn(pythonOf(version), ['main.py'], {
    cwd: here,
    env: {
      PATH: process.env.PATH,
      PYTHONDONTWRITEBYTECODE: '1',
      E2B_API_KEY: apiKey,
      ...variables,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  const lines: Line[] = [];
  for await (const line of createInterface({ input: child.stdout })) lines.push(JSON.parse(line));
  const [code] = await ended;
  if (code !== 0) throw new Error(`the checks of ${version} ended with status ${code}`);
  return lines;
}

/**
 * Prints every failure and the sums. Without a failure, keeps the table in the part of
 * COMPATIBILITY.md with this name. Returns whether all passed.
 */
export function report(results: Map<string, Line[]>, part: string): boolean {
  const failed = [...results].flatMap(([version, lines]) =>
    lines.filter(({ failure }) => failure !== null).map((line) => ({ version, ...line })),
  );
  for (const { version, half, names, failure } of failed) console.log(`${version} ${half} ${names[0]}: ${failure}`);
  if (failed.length === 0) keepPart({ page: 'COMPATIBILITY.md', name: part }, tableOf(results));
  const all = [...results.values()].flat().length;
  console.log(`\n${all - failed.length} passed, ${failed.length} failed`);
  return failed.length === 0;
}

/** Returns the table of the results in Markdown, with a column for each version. */
function tableOf(lines: Map<string, Line[]>): string {
  const names = new Set([...lines.values()].flat().flatMap((line) => line.names));
  const resultOf = (version: string, name: string) =>
    lines.get(version)?.find((line) => line.names.includes(name))?.result;
  const calls = new Map([...names].map((name) => [name, versions.map((version) => resultOf(version, name))]));
  const titles = versions.map((version) => `e2b ${version}`);
  return sideBySide(titles, calls);
}
