import type { Part } from '../docs/marked.ts';
import { type Result, sideBySide } from '../docs/results.ts';
import type { Client } from './clients.ts';

type Entry = { client: Client; operation: string; result: Result | undefined };

/** What the tests of one table have proved. */
export type Recorder = {
  /** The part of a page that the table is written into. */
  part: Part;
  /** Declares a test. If it passes, the result is recorded for the operation with this client. */
  declare: (client: Client, operation: string, result: Result, body: () => Promise<void>) => void;
  /** Returns whether this client has tests and all of them have passed. */
  isComplete: (client: Client) => boolean;
  /** Returns the results in Markdown: one table for each package, a column for each version. */
  table: () => string;
};

function newRecorder(part: Part): Recorder {
  /** `result` is undefined until the test has passed. */
  const entries = new Map<string, Entry>();
  return {
    part,
    declare: (client, operation, result, body) => {
      const key = keyOf(client.title, operation);
      if (entries.has(key)) throw new Error(`two tests record ${key}`);
      const entry: Entry = { client, operation, result: undefined };
      entries.set(key, entry);
      it(result === 'works' ? key : `${key}: ${result}`, async () => {
        await body();
        entry.result = result;
      });
    },
    isComplete: ({ title }) => {
      const own = [...entries.values()].filter(({ client }) => client.title === title);
      return own.length > 0 && own.every(({ result }) => result !== undefined);
    },
    table: () => tableOf(entries),
  };
}

/** Records without machines: `npm test` and `npm run compat`. */
export const records = newRecorder({ page: 'COMPATIBILITY.md', name: 'e2b' });

/** Sandboxes with a machine: `npm run judge:machines`. */
export const machines = newRecorder({ page: 'COMPATIBILITY.md', name: 'e2b machines' });

function tableOf(entries: Map<string, Entry>): string {
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
  const resultOf = (title: string, operation: string) =>
    recorded.find((entry) => entry.client.title === title && entry.operation === operation)?.result;
  const resultsOf = (operation: string) => titles.map((title) => resultOf(title, operation));
  return sideBySide(titles, new Map(operations.map((operation) => [operation, resultsOf(operation)])));
}

function keyOf(title: string, operation: string): string {
  return `${title}: ${operation}`;
}

function sorted(words: string[]): string[] {
  return [...new Set(words)].sort();
}
