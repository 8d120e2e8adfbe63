import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Dataset, Distribution } from '../data.ts';
import { ownersOf } from '../data.ts';
import { filters } from '../filters.ts';
import type { Bench } from '../options.ts';
import { trial } from '../progress.ts';
import type { LoadRow, StoreRow } from '../report/results.ts';
import { median, summarize } from '../report/stats.ts';
import { startWorker, type Worker } from '../worker.ts';
import type { Bounds, SideMethods, Trial, TrialResult } from './program.ts';

type Running = { name: 'sandpit' | 'postgres'; worker: Worker<SideMethods>; variants: string[] };

const roundBounds: Bounds = { calls: 400, milliseconds: 1500 };
const warmUpBounds: Bounds = { calls: 60, milliseconds: 400 };

/**
 * Measures store calls at every size, for one owner of everything and for the largest and
 * smallest of thirty owners.
 */
export async function measureStore(bench: Bench): Promise<{ loads: LoadRow[]; rows: StoreRow[] }> {
  const results = { loads: [] as LoadRow[], rows: [] as StoreRow[] };
  for (const size of bench.options.sizes) {
    for (const distribution of ['one', 'thirty'] satisfies Distribution[]) {
      await measureDataset(bench, { size, distribution }, results);
    }
  }
  return results;
}

async function measureDataset(bench: Bench, dataset: Dataset, results: { loads: LoadRow[]; rows: StoreRow[] }) {
  const sides = await openSides(bench, dataset, results.loads);
  for (const owner of new Set([0, ownersOf(dataset) - 1])) {
    for (const { name } of filters.filter((filter) => bench.options.filter.test(filter.name))) {
      results.rows.push(await measureFilter(bench, sides, { dataset, owner, filter: name, variant: '', round: 0 }));
    }
  }
  for (const { worker } of sides) await worker.stop();
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${fileOf(bench, dataset)}${suffix}`, { force: true });
}

function fileOf({ dir }: Bench, { size, distribution }: Dataset): string {
  return join(dir, `store-${distribution}-${size}.db`);
}

/** Starts both sides, or Sandpit alone, and loads them. */
export async function openSides(bench: Bench, dataset: Dataset, loads: LoadRow[] = []): Promise<Running[]> {
  const { size, distribution } = dataset;
  const places = { sandpit: fileOf(bench, dataset), postgres: bench.postgres };
  const sides: Running[] = [];
  for (const name of ['sandpit', 'postgres'] as const) {
    const place = places[name];
    if (place === null) continue;
    const worker = startWorker<SideMethods>('sides/program.ts');
    const variants = await worker.open(name, place);
    const { rowsPerSecond, bytes } = await worker.load(dataset);
    trial(`load ${name} ${distribution} ${size}: ${Math.round(rowsPerSecond)} rows/s`);
    loads.push({ ...dataset, side: name, rowsPerSecond, bytes });
    sides.push({ name, worker, variants });
  }
  return sides;
}

async function measureFilter(bench: Bench, sides: Running[], plain: Trial): Promise<StoreRow> {
  const trials = new Map<Running, Trial>();
  for (const side of sides) trials.set(side, { ...plain, variant: await bestVariant(side, plain) });
  const results = new Map<Running, TrialResult[]>(sides.map((side) => [side, []]));
  for (let round = 1; round <= bench.options.rounds; round++) {
    for (const side of round % 2 ? sides : sides.toReversed()) {
      const result = await side.worker.run({ ...(trials.get(side) as Trial), round }, roundBounds);
      results.get(side)?.push(result);
    }
  }
  const row = rowOf(sides, trials, results);
  const ours = row.sandpit.p50.toFixed(0);
  const theirs = row.postgres ? `, PostgreSQL ${row.postgres.p50.toFixed(0)} us` : '';
  trial(`store ${row.size} ${row.owner} ${row.filter}: Sandpit ${ours} us${theirs}`);
  return row;
}

/** Runs each variant twice (the first as a warm-up) and returns the one with the best median. */
async function bestVariant({ worker, variants }: Running, plain: Trial): Promise<string> {
  let best = { variant: '', p50: Number.POSITIVE_INFINITY };
  for (const variant of [...variants, ...variants]) {
    const { microseconds } = await worker.run({ ...plain, variant }, warmUpBounds);
    const { p50 } = summarize(microseconds);
    if (p50 < best.p50) best = { variant, p50 };
  }
  return best.variant;
}

function rowOf(sides: Running[], trials: Map<Running, Trial>, results: Map<Running, TrialResult[]>): StoreRow {
  const [ours, theirs] = sides as [Running, Running?];
  const resultsOf = (side: Running) => results.get(side) ?? [];
  const { dataset, owner, filter } = trials.get(ours) as Trial;
  const whole = (side: Running) => summarize(resultsOf(side).flatMap(({ microseconds }) => microseconds));
  if (theirs && !sameIds(resultsOf(ours), resultsOf(theirs))) throw new Error(`${filter}: the two stores disagree`);
  return {
    size: dataset.size,
    owner: dataset.distribution === 'one' ? 'all' : owner === 0 ? 'largest' : 'smallest',
    filter,
    rows: Math.round(median(resultsOf(ours).flatMap(({ rows }) => rows))),
    sandpit: whole(ours),
    ...(theirs && { postgres: { ...whole(theirs), variant: trials.get(theirs)?.variant ?? '' } }),
  };
}

function sameIds(ours: TrialResult[], theirs: TrialResult[]): boolean {
  return ours.every(({ firstIds }, round) => firstIds.join() === theirs[round]?.firstIds.join());
}
