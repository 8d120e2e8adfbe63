import { createHash } from 'node:crypto';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { type Dataset, sampleRows } from '../data.ts';
import type { Bench } from '../options.ts';
import { progress, trial } from '../progress.ts';
import type { HttpRow } from '../report/results.ts';
import { median } from '../report/stats.ts';
import type { SideMethods } from '../sides/program.ts';
import { startWorker } from '../worker.ts';
import { type ClientMethods, joined, type LoadResult } from './client.ts';
import { type Server, startBare, startFastApis, startSandpit } from './servers.ts';

/** `isOwn`: only Sandpit has these paths. */
type Case = { filter: string; limit: number; paths: string[]; isOwn?: boolean };
export type Stage = { file: string; key: string; dataset: Dataset };

const roundMilliseconds = 1000;
const warmUpMilliseconds = 500;
const connections = 16;

/** Measures requests a second of every server. The servers take turns in each case. */
export async function measureHttp(bench: Bench): Promise<HttpRow[]> {
  const stage = await prepareStages(bench);
  const servers = await startServers(bench, stage);
  const client = startWorker<ClientMethods>('http/client.ts', [], 1);
  const rows: HttpRow[] = [];
  for (const { filter, limit, paths, isOwn } of casesOf(stage.dataset)) {
    const able = isOwn
      ? servers.filter(({ name }) => name === 'sandpit')
      : servers.filter(({ filters }) => filters || filter === 'none');
    const load = ({ port }: Server, milliseconds: number) =>
      client.load({ port, paths, key: stage.key, connections, milliseconds });
    if (!isOwn) await agree(able, paths[0] ?? '', stage.key);
    for (const server of able) await load(server, warmUpMilliseconds);
    const results = new Map<Server, LoadResult[]>(able.map((server) => [server, []]));
    for (let round = 0; round < bench.options.rounds; round++) {
      for (const server of round % 2 ? able.toReversed() : able) {
        progress(`http ${filter} limit ${limit}, round ${round + 1}: ${server.name}`);
        results.get(server)?.push(await load(server, roundMilliseconds));
      }
    }
    for (const [server, all] of results) rows.push(rowOf(server.name, filter, limit, all));
    trial(`http ${filter} limit ${limit}: ${rows.slice(-able.length).map(shortly).join(', ')}`);
  }
  return rows;
}

/** Loads the largest store of up to 100,000 sandboxes on both sides. */
async function prepareStages(bench: Bench): Promise<Stage> {
  const stage = await prepareStage(bench, largestSize(bench));
  const { dataset, key } = stage;
  if (bench.postgres && bench.python) await loadPostgres(bench.postgres, dataset, key);
  return stage;
}

export function largestSize({ options }: Bench): number {
  return Math.max(...options.sizes.filter((each) => each <= 100_000), 1000);
}

/** Loads a store, and makes an API key for it. */
export async function prepareStage(bench: Bench, size: number): Promise<Stage> {
  const dataset: Dataset = { size, distribution: 'one' };
  const file = join(bench.dir, `http-${size}-${Date.now()}.db`);
  const worker = startWorker<SideMethods>('sides/program.ts');
  await worker.open('sandpit', file);
  await worker.load(dataset);
  const key = await worker.addKey(0);
  await worker.close();
  await worker.stop();
  return { file, key, dataset };
}

/** The API key is valid here too. */
async function loadPostgres(socketDirectory: string, dataset: Dataset, key: string): Promise<void> {
  const worker = startWorker<SideMethods>('sides/program.ts');
  await worker.open('postgres', socketDirectory);
  await worker.load(dataset);
  await worker.stop();
  const client = new pg.Client({ host: socketDirectory, user: 'bench', database: 'postgres' });
  await client.connect();
  await client.query('drop table if exists api_keys');
  await client.query('create table api_keys (secret_hash bytea primary key, owner_id int, revoked_at bigint)');
  const hash = createHash('sha256').update(key).digest();
  await client.query('insert into api_keys values ($1, 0, null)', [hash]);
  await client.query('vacuum (analyze) api_keys');
  await client.end();
}

/** Throws an Error if two servers return different sandboxes. */
async function agree(servers: Server[], path: string, key: string): Promise<void> {
  const answers = servers.map(async ({ port }) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { 'X-API-Key': key } });
    const sandboxes = (await response.json()) as { sandbox_id: string; end_at: string | null }[];
    return sandboxes.map(({ sandbox_id, end_at }) => `${sandbox_id} ${end_at}`).join();
  });
  if (new Set(await Promise.all(answers)).size > 1) throw new Error(`${path}: the servers' answers differ`);
}

async function startServers(bench: Bench, { file }: Stage): Promise<Server[]> {
  // Only one Sandpit at a time may have a database.
  const copies = [1, 2, 3].map((n) => `${file}-${n}`);
  for (const copy of copies) copyFileSync(file, copy);
  const [plain = '', logging = '', metrics = ''] = copies;
  const servers = [
    await startBare(bench, 'floor', file),
    await startBare(bench, 'express', file),
    await startSandpit(bench, 'sandpit', plain, 'silent'),
    await startSandpit(bench, 'sandpit, logging', logging, 'info'),
    await startSandpit(bench, 'sandpit, metrics', metrics, 'silent', '--metrics-port', '0'),
  ];
  const { postgres, python } = bench;
  return postgres && python ? [...servers, ...(await startFastApis(bench, python, postgres))] : servers;
}

function casesOf(dataset: Dataset): Case[] {
  const users = sampleRows(dataset, 0, 500).map(({ metadata: { userId } }) => ({ userId }));
  const filters = { none: [null], env: [{ env: 'prod' }], user: users };
  const cases: Case[] = Object.entries(filters).flatMap(([filter, values]) =>
    [1, 100, 1000].map((limit) => ({ filter, limit, paths: values.map((value) => pathOf(value, limit)) })),
  );
  // Far more filters than any cache of a server holds.
  const fresh = sampleRows(dataset, 0, 20_000).map(({ metadata: { git } }) => pathOf({ git }, 1));
  const e2b = '/v2/sandboxes?limit=100';
  return [
    ...cases,
    { filter: 'fresh', limit: 1, paths: fresh },
    { filter: 'e2b', limit: 100, paths: [e2b], isOwn: true },
    { filter: 'e2b, env', limit: 100, paths: [`${e2b}&metadata=${encodeURIComponent('env=prod')}`], isOwn: true },
  ];
}

/** Returns the path and query that lists sandboxes. */
export function pathOf(filter: object | null, limit: number): string {
  const query = filter ? `metadata=${encodeURIComponent(JSON.stringify(filter))}&` : '';
  return `/v1/sessions/sandboxes?${query}limit=${limit}`;
}

function rowOf(server: string, filter: string, limit: number, results: LoadResult[]): HttpRow {
  const perSecond = median(results.map(({ milliseconds, seconds }) => milliseconds.length / seconds));
  const { p50, p99 } = joined(results);
  const failures = results.reduce((sum, result) => sum + result.failures, 0);
  return { server, filter, limit, perSecond, p50, p99, failures };
}

function shortly({ server, perSecond, p99 }: HttpRow): string {
  return `${server} ${perSecond.toFixed(0)}/s p99 ${p99.toFixed(1)} ms`;
}
