import { duration, ratio } from './report.ts';
import type { Bar, HttpRow, Results, StartRow, StoreRow, WebhookRow } from './results.ts';

type Measured = Omit<Results, 'machine' | 'bars'>;

/**
 * The minimum ratio of each filter's median to PostgreSQL's, and the smallest size to which it
 * applies.
 */
const fasterBars: { what: string; filters: string[]; atLeast: number; from?: number }[] = [
  { what: 'none, limit 1', filters: ['none_1'], atLeast: 5 },
  { what: 'none, limit 100', filters: ['none_100'], atLeast: 2.5 },
  { what: 'none and one common pair, limit 1000', filters: ['none_1000', 'env_1000'], atLeast: 1 },
  {
    what: 'rare, rare + common, five, no match',
    filters: ['user', 'user_1', 'user_env', 'five', 'nomatch'],
    atLeast: 3,
  },
  { what: 'nested pair, common and rare', filters: ['branch_main', 'branch_feat'], atLeast: 2 },
  { what: 'two common pairs, limit 1', filters: ['env_region_1'], atLeast: 3 },
  { what: 'two common pairs, limit 100 / 1000', filters: ['env_region_100', 'env_region_1000'], atLeast: 1.5 },
  { what: 'two common pairs that never meet', filters: hostile(), atLeast: 2, from: 1_000_000 },
];

/** Filters whose median must hardly grow from one size to the other. */
const steadyBars = [
  { filters: ['none_1', 'none_100'], sizes: [1000, 1_000_000], within: 1.5 },
  { filters: ['user', 'user_1', 'user_env', 'five', 'nomatch'], sizes: [100_000, 1_000_000], within: 2 },
];

/** Returns every bar that the project sets itself, each with the worst row that it covers. */
export function measureBars(measured: Measured): Bar[] {
  const { store } = measured;
  const sizes = [...new Set(store.map(({ size }) => size))];
  return [
    ...sizes.flatMap((size) => fasterBars.map((bar) => fasterBar(store, size, bar))).filter(({ bar }) => bar !== ''),
    ...steadyBars.flatMap((bar) => steadyBar(store, bar)),
    hostileBar(store),
    ...sizes.map((size) => tailBar(store, size)),
    ...writeBars(measured),
    ...startBars(measured.starts),
    ...httpBars(measured.http),
    webhookBar(measured.webhooks),
  ];
}

function hostile(): string[] {
  return ['empty_env_region', 'empty_env_branch'];
}

function fasterBar(store: StoreRow[], size: number, { what, filters, atLeast, from = 0 }: (typeof fasterBars)[number]) {
  if (size < from) return { what, bar: '', measured: '', met: null };
  const rows = store.filter((row) => row.size === size && filters.includes(row.filter));
  const worst = worstOf(rows, ({ sandpit, postgres }) => postgres && postgres.p50 / sandpit.p50);
  return atLeastBar(`${what}, at ${size.toLocaleString('en')}: p50, times faster than PostgreSQL`, atLeast, worst);
}

type Worst = { value: number; where: string };

/** Returns the row with the smallest value; undefined if no row has a value. */
function worstOf(rows: StoreRow[], figure: (row: StoreRow) => number | undefined): Worst | undefined {
  const values = rows.flatMap((row) => {
    const value = figure(row);
    return value === undefined ? [] : [{ value, where: `${row.filter}, ${row.owner}` }];
  });
  return values.toSorted((a, b) => a.value - b.value)[0];
}

function atLeastBar(what: string, atLeast: number, worst: Worst | undefined): Bar {
  const bar = `at least ${atLeast}`;
  if (!worst) return { what, bar, measured: '', met: null };
  const where = worst.where && ` (${worst.where})`;
  return { what, bar, measured: `${ratio(worst.value)}${where}`, met: worst.value >= atLeast };
}

function steadyBar(store: StoreRow[], { filters, sizes: [small, large], within }: (typeof steadyBars)[number]): Bar[] {
  const at = (size: number | undefined, { filter, owner }: StoreRow) =>
    store.find((row) => row.size === size && row.filter === filter && row.owner === owner);
  return filters.map((filter) => {
    const rows = store.filter((row) => row.size === large && row.filter === filter);
    const worst = worstOf(rows, (row) => {
      const before = at(small, row);
      // A call that returns far fewer rows is faster for that reason alone.
      return before && before.rows >= row.rows / 2 ? before.sandpit.p50 / row.sandpit.p50 : undefined;
    });
    const what = `${filter}: p50 at ${large?.toLocaleString('en')} against ${small?.toLocaleString('en')}`;
    const grown = worst && 1 / worst.value;
    const measured = grown === undefined ? '' : `${ratio(grown)} (${worst?.where})`;
    return { what, bar: `at most ${within}`, measured, met: grown === undefined ? null : grown <= within };
  });
}

function hostileBar(store: StoreRow[]): Bar {
  const worst = worstOf(
    store.filter(({ filter }) => hostile().includes(filter)),
    ({ sandpit }) => -sandpit.max,
  );
  const what = 'two common pairs that never meet, at any size: the slowest call';
  const measured = worst ? `${duration(-worst.value)} (${worst.where})` : '';
  return { what, bar: 'at most 50 ms', measured, met: worst ? -worst.value <= 50_000 : null };
}

function tailBar(store: StoreRow[], size: number): Bar {
  const rows = store.filter((row) => row.size === size);
  const worst = worstOf(rows, ({ sandpit, postgres }) => postgres && postgres.p99 / sandpit.p99);
  const missed = rows.filter(({ sandpit, postgres }) => postgres && postgres.p99 < sandpit.p99).length;
  const bar = atLeastBar(
    `every filter, at ${size.toLocaleString('en')}: p99, times better than PostgreSQL's`,
    1,
    worst,
  );
  return { ...bar, measured: bar.measured && `${bar.measured}; ${missed} of ${rows.length} rows worse` };
}

function writeBars({ creates, imports }: Measured): Bar[] {
  const creating = (count: number) => {
    const of = (name: string) => creates.find(({ side, clients }) => side === name && clients === count)?.perSecond;
    const [ours, theirs] = [of('sandpit'), of('postgres')];
    return ours && theirs ? { value: ours / theirs, where: '' } : undefined;
  };
  const slowest = imports
    .filter(({ size }) => size >= 100_000)
    .toSorted((a, b) => a.rowsPerSecond - b.rowsPerSecond)[0];
  const million = imports.find(({ size }) => size === 1_000_000);
  return [
    atLeastBar('durable creates a second, one client, against PostgreSQL', 0.9, creating(1)),
    ...[8, 32].map((clients) =>
      atLeastBar(`durable creates a second, ${clients} clients, against PostgreSQL`, 1.5, creating(clients)),
    ),
    {
      what: 'sandpit import, rows a second',
      bar: 'at least 40000',
      measured: slowest ? `${slowest.rowsPerSecond.toFixed(0)} (at ${slowest.size.toLocaleString('en')})` : '',
      met: slowest ? slowest.rowsPerSecond >= 40_000 : null,
    },
    {
      what: 'file with 1,000,000 sandboxes',
      bar: 'at most 450 MB',
      measured: million ? `${(million.bytes / 1e6).toFixed(0)} MB` : '',
      met: million ? million.bytes <= 450e6 : null,
    },
  ];
}

function startBars(rows: StartRow[]): Bar[] {
  const atMost = (name: string, most: number): Bar => {
    const value = rows.find(({ what }) => what === name)?.value;
    const what = `${name}: from its start to the first answer`;
    const measured = value === undefined ? '' : `${value.toFixed(0)} ms`;
    return { what, bar: `at most ${most} ms`, measured, met: value === undefined ? null : value <= most };
  };
  return [atMost('npm start', 600), atMost('the executable', 250), atMost('the executable, --test', 200)];
}

function webhookBar([row]: WebhookRow[]): Bar {
  const what = 'webhooks a second to a receiver that answers at once';
  const measured = row ? row.perSecond.toFixed(0) : '';
  return { what, bar: 'at least 1000', measured, met: row ? row.perSecond >= 1000 : null };
}

function httpBars(rows: HttpRow[]): Bar[] {
  const row = (server: string, filter: string, limit: number) =>
    rows.find((each) => each.server === server && each.filter === filter && each.limit === limit);
  const against = (server: string, filter: string, limit: number, atLeast: number) => {
    const [ours, theirs] = [row('sandpit', filter, limit), row(server, filter, limit)];
    const value = ours && theirs && { value: ours.perSecond / theirs.perSecond, where: '' };
    return atLeastBar(`requests a second, ${filter}, limit ${limit}, against ${server}`, atLeast, value);
  };
  const tail = (filter: string, limit: number) => {
    const [ours, theirs] = [row('sandpit', filter, limit), row('fastapi', filter, limit)];
    const value = ours && theirs && { value: theirs.p99 / ours.p99, where: '' };
    return atLeastBar(`p99, ${filter}, limit ${limit}, times better than fastapi's`, 1, value);
  };
  const cases = ['none', 'env', 'user'].flatMap((filter) => [1, 100, 1000].map((limit) => [filter, limit] as const));
  return [
    against('express', 'none', 1, 0.75),
    against('floor', 'none', 100, 0.6),
    against('floor', 'none', 1000, 0.95),
    ...cases.map(([filter, limit]) => against('fastapi', filter, limit, 3)),
    against('fastapi', 'fresh', 1, 3),
    ...[['e2b', 'none'] as const, ['e2b, env', 'env'] as const].map(([e2b, own]) => {
      const [theirs, ours] = [row('sandpit', e2b, 100), row('sandpit', own, 100)];
      const value = ours && theirs && { value: theirs.perSecond / ours.perSecond, where: '' };
      return atLeastBar(`requests a second, E2B's list (${e2b}), limit 100, against the contract's`, 0.5, value);
    }),
    ...cases.map(([filter, limit]) => tail(filter, limit)),
  ];
}
