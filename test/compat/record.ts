import type { Part } from '../docs/marked.ts';
import { type Result, sideBySide } from '../docs/results.ts';
import type { Client } from './clients.ts';

/** The part of a page that the table is written into. */
export const part: Part = { page: 'COMPATIBILITY.md', name: 'e2b' };

type Entry = { client: Client; operation: string; result: Result | undefined };

/** The tested operations. `result` is undefined until the test has passed. */
const entries = new Map<string, Entry>();

/** Declares a test. If it passes, the result is recorded for the operation with this client. */
export function declare(client: Client, operation: string, result: Result, body: () => Promise<void>): void {
  const key = keyOf(client.title, operation);
  if (entries.has(key)) throw new Error(`two tests record ${key}`);
  const entry: Entry = { client, operation, result: undefined };
  entries.set(key, entry);
  it(result === 'works' ? key : `${key}: ${result}`, async () => {
    await body();
    entry.result = result;
  });
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
    .map((name) => versionsOf(packages.get(name) ?? []))
    .join('\n\n');
}

function versionsOf(recorded: Entry[]): string {
  const titles = sorted(recorded.map(({ client }) => client.title));
  const operations = sorted(recorded.map(({ operation }) => operation));
  const resultsOf = (operation: string) => titles.map((title) => entries.get(keyOf(title, operation))?.result);
  return sideBySide(titles, new Map(operations.map((operation) => [operation, resultsOf(operation)])));
}

function keyOf(title: string, operation: string): string {
  return `${title}: ${operation}`;
}

function sorted(words: string[]): string[] {
  return [...new Set(words)].sort();
}
