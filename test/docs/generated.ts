import { settings } from '../../app/config/settings.ts';
import { marksOf } from '../../app/contract/not-offered.ts';
import { loadContract, operationsOf } from '../../spec/load.ts';
import { type Part, tableOf } from './marked.ts';

/** The generated parts of pages, with functions that generate their text from the program. */
export const generated: { part: Part; text: () => string }[] = [
  { part: { page: 'OPERATING.md', name: 'settings' }, text: settingsTable },
  { part: { page: 'COMPATIBILITY.md', name: 'not offered' }, text: notOfferedTable },
  { part: { page: 'COMPATIBILITY.md', name: 'paths not offered' }, text: pathsTable },
];

function settingsTable(): string {
  const rows = Object.values(settings).map(({ variable, flag, fallback, help }) => [
    `\`${variable}\``,
    `\`--${flag}\``,
    fallback === undefined ? '' : `\`${fallback}\``,
    help,
  ]);
  return tableOf(['variable', 'flag of `serve`', 'default', 'meaning'], rows);
}

/** Members and parameters that get 501, each with its operations and the reason. */
function notOfferedTable(): string {
  const contract = loadContract();
  const marks = operationsOf(contract).flatMap(({ method, path, operation }) =>
    marksOf(contract, operation).map(({ name, reason }) => ({
      name,
      reason,
      where: `\`${method.toUpperCase()} ${path}\``,
    })),
  );
  const byMeaning = Map.groupBy(marks, ({ name, reason }) => `\`${name}\`|${reason}`);
  const rows = [...byMeaning].map(([meaning, of]) => {
    const [name = '', reason = ''] = meaning.split('|');
    return [name, of.map(({ where }) => where).join(', '), reason];
  });
  return tableOf(['what', 'where', 'why'], rows);
}

/** Paths that clients know and that Sandpit answers with 501, by their reason. */
function pathsTable(): string {
  const entries = loadContract()['x-not-offered-paths'];
  const byReason = Map.groupBy(entries, ({ reason }) => reason);
  const rows = [...byReason].map(([reason, of]) => [
    of.flatMap(({ paths, methods = [] }) => paths.map((path) => `\`${[...methods, path].join(' ')}\``)).join(', '),
    reason,
  ]);
  return tableOf(['paths', 'why'], rows);
}
