import { type Dataset, type Row, rowAt, sampleRows } from '../data.ts';
import { filterNamed } from '../filters.ts';
import { type Methods, serveMethods } from '../worker.ts';
import { openPostgres } from './pgstore.ts';
import { openSandpit, type Sandpit } from './sandpit.ts';
import type { Query, Side } from './side.ts';

export type Trial = { dataset: Dataset; owner: number; filter: string; variant: string; round: number };
export type Bounds = { calls: number; milliseconds: number };
export type Creates = { microseconds: number[]; seconds: number };
export type TrialResult = { microseconds: number[]; rows: number[]; firstIds: string[] };

let side: Side;

const methods = {
  open: (kind: 'sandpit' | 'postgres', location: string) => {
    side = kind === 'sandpit' ? openSandpit(location) : openPostgres(location);
    return side.variants;
  },
  load: async (dataset: Dataset) => {
    const start = performance.now();
    const { bytes } = await side.load(dataset);
    return { bytes, rowsPerSecond: dataset.size / ((performance.now() - start) / 1000) };
  },
  run: async (trial: Trial, bounds: Bounds): Promise<TrialResult> => {
    const queries = queriesOf(trial, bounds.calls);
    const result: TrialResult = { microseconds: [], rows: [], firstIds: [] };
    const end = performance.now() + bounds.milliseconds;
    for (const query of queries) {
      const start = performance.now();
      const rows = await side.list(query);
      const finish = performance.now();
      result.microseconds.push((finish - start) * 1000);
      result.rows.push(rows.length);
      if (query === queries[0]) result.firstIds = rows.map(({ id }) => id);
      if (finish > end) break;
    }
    return result;
  },
  /** Creates sandboxes for some clients, each of which waits for one before the next. */
  create: async (dataset: Dataset, firstIndex: number, milliseconds: number, clients: number): Promise<Creates> => {
    const microseconds: number[] = [];
    let index = firstIndex;
    const begin = performance.now();
    const createAs = async (client: number) => {
      for (const end = begin + milliseconds; performance.now() < end; ) {
        const row = rowAt(index++, dataset);
        const start = performance.now();
        await side.create(row, client);
        microseconds.push((performance.now() - start) * 1000);
      }
    };
    await Promise.all(Array.from({ length: clients }, (_, client) => createAs(client)));
    return { microseconds, seconds: (performance.now() - begin) / 1000 };
  },
  addKey: (owner: number) => (side as Sandpit).addKey(owner),
  close: () => side.close(),
} satisfies Methods;

export type SideMethods = typeof methods;

/** Returns the same queries for both sides, with different values each round. */
function queriesOf({ dataset, owner, filter, variant, round }: Trial, count: number): Query[] {
  const { limit, make } = filterNamed(filter);
  const sample = samplesOf(dataset, owner);
  return Array.from({ length: count }, (_, at) => {
    const call = round * count + at;
    const { metadata } = sample[call % sample.length] as Row;
    return { name: filter, variant, owner, limit, filter: make(metadata, call) };
  });
}

const samples = new Map<string, Row[]>();

function samplesOf(dataset: Dataset, owner: number): Row[] {
  const key = JSON.stringify([dataset, owner]);
  const known = samples.get(key) ?? sampleRows(dataset, owner, 3000);
  samples.set(key, known);
  return known;
}

serveMethods(methods);
