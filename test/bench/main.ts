import { writeFileSync } from 'node:fs';
import { canPin, temporaryDirectory } from './cleanup.ts';
import { measureCreates, measureImports } from './http/create.ts';
import { measureFairness } from './http/fairness.ts';
import { measureHttp } from './http/http.ts';
import { findPython } from './http/servers.ts';
import { measureStarts } from './http/start.ts';
import { measureWebhooks } from './http/webhooks.ts';
import { measureMachines } from './machines/machines.ts';
import { type Bench, hasTwoCores, type Options, type Part, readOptions, usage } from './options.ts';
import { runProgram } from './program.ts';
import { clearProgress, note } from './progress.ts';
import { measureBars } from './report/bars.ts';
import { machine } from './report/machine.ts';
import { plot } from './report/plot.ts';
import { markdown } from './report/report.ts';
import type { Results } from './report/results.ts';
import { findPostgres, postgresVersion, startPostgres } from './sides/postgres.ts';
import { measureStore } from './sides/store.ts';

async function main(args: string[]): Promise<boolean> {
  const { help, ...options } = readOptions(args);
  if (help) {
    process.stdout.write(usage);
    return true;
  }
  const versions: Record<string, string> = {};
  const bench = await prepare(options, versions);
  const results = await measure(bench, machine(versions), args);
  clearProgress();
  process.stdout.write(`${markdown(results)}\n`);
  const json = JSON.stringify(results, null, 1);
  if (options.json === '-') process.stdout.write(`${json}\n`);
  else if (options.json) writeFileSync(options.json, json);
  if (options.plot && results.store.length > 0) writeFileSync(options.plot, plot(results.store));
  return true;
}

/** Finds and starts the servers to compare with, and reports missing ones. */
async function prepare(options: Options, versions: Record<string, string>): Promise<Bench> {
  const dir = temporaryDirectory(options.dir);
  const bench: Bench = { options, dir, postgres: null, python: null };
  if (!canPin || !hasTwoCores()) note('No taskset or a single core: servers and clients share the processor.');
  if (!options.full) return bench;
  const bin = findPostgres();
  if (bin === null) {
    note('PostgreSQL is not installed: nothing to compare with. On Debian: apt-get install postgresql');
    return bench;
  }
  versions.postgres = postgresVersion(bin);
  bench.postgres = await startPostgres(bin, `${dir}/postgres`);
  const python = findPython();
  if (python) {
    bench.python = python.program;
    versions.fastapi = python.versions;
  } else note('FastAPI is not installed. On Debian: apt-get install python3-fastapi python3-uvicorn python3-asyncpg');
  return bench;
}

async function measure(bench: Bench, machine: Record<string, string>, args: string[]): Promise<Results> {
  const wanted = (part: Part) => bench.options.only.includes(part);
  const command = `npm run bench -- ${args.join(' ')}`;
  const store = wanted('store') ? await measureStore(bench) : { loads: [], rows: [] };
  const measured = {
    machine: { command, ...machine },
    loads: store.loads,
    store: store.rows,
    creates: wanted('create') ? await measureCreates(bench) : [],
    imports: wanted('create') ? await measureImports(bench) : [],
    starts: wanted('start') ? await measureStarts(bench) : [],
    http: wanted('http') ? await measureHttp(bench) : [],
    fairness: wanted('fairness') ? await measureFairness(bench) : [],
    webhooks: wanted('webhooks') ? await measureWebhooks(bench) : [],
    machines: wanted('machines') ? await measureMachines(bench) : [],
  };
  return { ...measured, bars: measureBars(measured) };
}

await runProgram(main, usage);
