import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, statSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { atEnd, stopProcess } from '../cleanup.ts';
import { type Dataset, ownersOf, rowAt } from '../data.ts';
import type { Bench } from '../options.ts';
import { trial } from '../progress.ts';
import type { CreateRow, ImportRow } from '../report/results.ts';
import { summarize } from '../report/stats.ts';
import { ownerName, recordLine, sandpitCommand } from '../sides/sandpit.ts';
import { openSides } from '../sides/store.ts';

const roundMilliseconds = 1500;

/** How many clients create at once. */
const clientCounts = [1, 8, 32];

/** Measures durable creates, in stores of up to 100,000 sandboxes. */
export async function measureCreates(bench: Bench): Promise<CreateRow[]> {
  const size = Math.max(...bench.options.sizes.filter((each) => each <= 100_000), 1000);
  const dataset: Dataset = { size, distribution: 'one' };
  const sides = await openSides(bench, dataset);
  const all = clientCounts.flatMap((clients) =>
    sides.map(({ name, worker }) => ({ name, worker, clients, times: [] as number[], seconds: 0 })),
  );
  const created = new Map<string, number>();
  for (let round = 0; round < bench.options.rounds; round++) {
    for (const one of round % 2 ? all.toReversed() : all) {
      const before = created.get(one.name) ?? 0;
      // Each trial begins where no other has created: those under way at the end count, too.
      const from = size + before;
      const { microseconds, seconds } = await one.worker.create(dataset, from, roundMilliseconds, one.clients);
      created.set(one.name, before + microseconds.length);
      one.times.push(...microseconds);
      one.seconds += seconds;
      trial(`create ${one.name}, ${one.clients} clients: ${(one.times.length / one.seconds).toFixed(0)}/s`);
    }
  }
  for (const { worker } of sides) await worker.stop();
  return all.map(({ name: side, clients, times, seconds }) => ({
    side,
    clients,
    perSecond: times.length / seconds,
    ...summarize(times),
  }));
}

/** Measures `sandpit import` at every size, from the start of the process to its end. */
export async function measureImports(bench: Bench): Promise<ImportRow[]> {
  const rows: ImportRow[] = [];
  for (const size of bench.options.sizes) {
    const row = await measureImport(bench, { size, distribution: 'one' });
    trial(`import ${size}: ${row.rowsPerSecond.toFixed(0)} rows/s`);
    rows.push(row);
  }
  return rows;
}

async function measureImport({ dir }: Bench, dataset: Dataset): Promise<ImportRow> {
  const lines = join(dir, `import-${dataset.size}.jsonl`);
  const db = join(dir, `import-${dataset.size}.db`);
  await pipeline(linesOf(dataset), createWriteStream(lines));
  for (let owner = 0; owner < ownersOf(dataset); owner++) await run('users', 'create', ownerName(owner), '--db', db);
  const start = performance.now();
  await run('import', lines, '--db', db);
  const seconds = (performance.now() - start) / 1000;
  return { size: dataset.size, rowsPerSecond: dataset.size / seconds, bytes: statSync(db).size };
}

function* linesOf(dataset: Dataset): Generator<string> {
  for (let index = 0; index < dataset.size; index++) yield `${recordLine(rowAt(index, dataset))}\n`;
}

/** Throws an Error if `sandpit` fails. */
async function run(...args: string[]): Promise<void> {
  const [program = '', ...rest] = sandpitCommand(...args);
  const child = spawn(program, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
  atEnd(() => stopProcess(child));
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`sandpit ${args[0]}: ${errors}`);
}
