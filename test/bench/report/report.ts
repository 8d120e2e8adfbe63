import type { MachineRow } from '../machines/measured.ts';
import type {
  CreateRow,
  FairnessRow,
  HttpRow,
  ImportRow,
  LoadRow,
  Results,
  StartRow,
  StoreRow,
  WebhookRow,
} from './results.ts';

/** Returns the results as Markdown. */
export function markdown(results: Results): string {
  const sections = [
    ['Machine', table(['', ''], Object.entries(results.machine))],
    ...Array.from(groupStore(results.store), ([title, rows]) => [title, storeTable(rows)]),
    ['Loading, one transaction per 10,000 sandboxes', loadTable(results.loads)],
    ['sandpit import', importTable(results.imports)],
    ['Creating sandboxes, each on disk before its client creates the next', createTable(results.creates)],
    ['From the start of the process to the first answer, and memory', startTable(results.starts)],
    ['Requests, 16 connections, the server on one core', httpTable(results.http)],
    ['Limit 1 while another client asks for 1000 in a loop', fairnessTable(results.fairness)],
    ['Webhooks to a receiver that answers at once, after one bulk kill', webhookTable(results.webhooks)],
    ['Machines', machineTable(results.machines)],
    ['Bars', barsTable(results)],
  ];
  return sections
    .filter(([, body]) => body !== '')
    .map(([title, body]) => `## ${title}\n\n${body}\n`)
    .join('\n');
}

function groupStore(rows: StoreRow[]): Map<string, StoreRow[]> {
  const owners = {
    all: 'one owner has all',
    largest: 'the largest of 30 owners',
    smallest: 'the smallest of 30 owners',
  };
  return Map.groupBy(
    rows,
    ({ size, owner }) => `Store: ${size.toLocaleString('en')} sandboxes, ${owners[owner]} (p50 / p99 of a call)`,
  );
}

function storeTable(rows: StoreRow[]): string {
  const headings = ['filter', 'rows', 'Sandpit', 'PostgreSQL', 'p50, times faster', 'its index/plan'];
  return table(
    headings,
    rows.map(({ filter, rows: count, sandpit, postgres }) => [
      filter,
      `${count}`,
      times(sandpit),
      ...(postgres ? [times(postgres), ratio(postgres.p50 / sandpit.p50), postgres.variant] : ['', '', '']),
    ]),
  );
}

function times({ p50, p99 }: { p50: number; p99: number }): string {
  return `${duration(p50)} / ${duration(p99)}`;
}

/** Returns a time, given in microseconds, as text. */
export function duration(microseconds: number): string {
  if (microseconds < 1000) return `${microseconds.toFixed(0)} us`;
  if (microseconds < 999_500) return `${(microseconds / 1000).toPrecision(3)} ms`;
  return `${(microseconds / 1e6).toPrecision(3)} s`;
}

/** Returns a ratio as text. */
export function ratio(value: number): string {
  if (value >= 10) return value.toFixed(0);
  return value >= 0.1 ? value.toFixed(2) : value.toPrecision(1);
}

function loadTable(rows: LoadRow[]): string {
  return table(
    ['size', 'owners', 'store', 'rows/s', 'MB'],
    rows.map(({ size, distribution, side, rowsPerSecond, bytes }) => [
      `${size}`,
      distribution,
      side,
      rowsPerSecond.toFixed(0),
      megabytes(bytes),
    ]),
  );
}

function importTable(rows: ImportRow[]): string {
  return table(
    ['size', 'rows/s', 'MB'],
    rows.map(({ size, rowsPerSecond, bytes }) => [`${size}`, rowsPerSecond.toFixed(0), megabytes(bytes)]),
  );
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(0);
}

function createTable(rows: CreateRow[]): string {
  return table(
    ['clients', 'store', 'creates/s', 'p50 / p99'],
    rows.map((row) => [`${row.clients}`, row.side, row.perSecond.toFixed(0), times(row)]),
  );
}

function startTable(rows: StartRow[]): string {
  return table(
    ['what', 'measured'],
    rows.map(({ what, value, unit }) => [what, `${value.toFixed(0)} ${unit}`]),
  );
}

function httpTable(rows: HttpRow[]): string {
  return table(
    ['server', 'filter', 'limit', 'requests/s', 'p50 ms', 'p99 ms', 'failures'],
    rows.map(({ server, filter, limit, perSecond, p50, p99, failures }) => [
      server,
      filter,
      `${limit}`,
      perSecond.toFixed(0),
      p50.toFixed(2),
      p99.toFixed(2),
      `${failures}`,
    ]),
  );
}

function fairnessTable(rows: FairnessRow[]): string {
  return table(
    ['server', 'beside', 'p50 ms', 'p99 ms', 'max ms'],
    rows.map(({ server, beside, p50, p99, max }) => [
      server,
      beside,
      ...[p50, p99, max].map((value) => value.toFixed(2)),
    ]),
  );
}

function webhookTable(rows: WebhookRow[]): string {
  return table(
    ['messages', 'a second', 'a bare loop of posts', 'of that'],
    rows.map(({ messages, perSecond, bare }) => [
      `${messages}`,
      perSecond.toFixed(0),
      bare.toFixed(0),
      ratio(perSecond / bare),
    ]),
  );
}

/** A row for each bar, a column for each engine. */
function machineTable(rows: MachineRow[]): string {
  const engines = [...new Set(rows.map(({ engine }) => engine))];
  const bars = Map.groupBy(rows, ({ what, bar }) => `${what}|${bar}`);
  const cell = (row: MachineRow | undefined) => (row ? `${row.measured}${row.met ? '' : ' **missed**'}` : '');
  return table(
    ['bar', 'number', ...engines],
    [...bars.values()].map((found) => [
      found[0]?.what ?? '',
      found[0]?.bar ?? '',
      ...engines.map((name) => cell(found.find(({ engine }) => engine === name))),
    ]),
  );
}

function barsTable({ bars }: Results): string {
  const measured = bars.filter(({ met }) => met !== null);
  const rows = measured.map(({ what, bar, measured, met }) => [what, bar, measured, met ? 'met' : '**missed**']);
  return `${table(['what', 'bar', 'measured', ''], rows)}\n\n${bars.length - measured.length} bars were not measured.`;
}

function table(headings: string[], rows: string[][]): string {
  if (rows.length === 0) return '';
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(headings), line(headings.map(() => '---')), ...rows.map(line)].join('\n');
}
