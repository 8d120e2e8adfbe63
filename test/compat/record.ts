import type { Part } from '../docs/marked.ts';
import type { Client } from './clients.ts';

/** The part of a page that the table is written into. */
export const part: Part = { page: 'COMPATIBILITY.md', name: 'compatibility' };

export type Result = 'yes' | 'not offered';
type Entry = { client: Client; operation: string; result: Result | undefined };

/** The tested operations. `result` is undefined until the test has passed. */
const entries = new Map<string, Entry>();

/** Declares a test. If it passes, the operation is recorded as working with this client. */
export function compatible(client: Client, operation: string, body: () => Promise<void>): void {
  test(client, operation, 'yes', body);
}

/** Declares a test of a refusal. If it passes, the operation is recorded as not offered. */
export function refused(client: Client, operation: string, body: () => Promise<void>): void {
  test(client, operation, 'not offered', body);
}

/** Returns whether this client has tests and all of them have passed. */
export function isComplete({ title }: Client): boolean {
  const own = [...entries.values()].filter(({ client }) => client.title === title);
  return own.length > 0 && own.every(({ result }) => result !== undefined);
}

/** Returns the results in Markdown: one table for each package, a column for each version. */
export function table(): string {
  const recorded = [...entries.values()].filter(({ result }) => result !== undefined);
  const packages = Map.groupBy(recorded, ({ client }) => client.name);
  return sorted([...packages.keys()])
    .reverse()
    .map((name) => tableOf(packages.get(name) ?? []))
    .join('\n\n');
}

function test(client: Client, operation: string, result: Result, body: () => Promise<void>): void {
  const key = keyOf(client.title, operation);
  if (entries.has(key)) throw new Error(`two tests record ${key}`);
  const entry: Entry = { client, operation, result: undefined };
  entries.set(key, entry);
  it(result === 'yes' ? key : `${key}: ${result}`, async () => {
    await body();
    entry.result = result;
  });
}

function tableOf(recorded: Entry[]): string {
  // Sorted, so that the table is the same whatever the order of the tests.
  const titles = sorted(recorded.map(({ client }) => client.title));
  const rows = sorted(recorded.map(({ operation }) => operation)).map((operation) => [
    `\`${operation}\``,
    ...titles.map((title) => entries.get(keyOf(title, operation))?.result ?? '–'),
  ]);
  const lines = [['', ...titles], ['---', ...titles.map(() => '---')], ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

function keyOf(title: string, operation: string): string {
  return `${title}: ${operation}`;
}

function sorted(words: string[]): string[] {
  return [...new Set(words)].sort();
}
