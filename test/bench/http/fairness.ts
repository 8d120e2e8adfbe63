import type { Bench } from '../options.ts';
import { trial } from '../progress.ts';
import type { FairnessRow } from '../report/results.ts';
import { startWorker } from '../worker.ts';
import { type ClientMethods, joined, type LoadResult } from './client.ts';
import { largestSize, pathOf, prepareStage } from './http.ts';
import { startSandpit } from './servers.ts';

const roundMilliseconds = 1500;

/**
 * Measures requests with limit 1 on one connection, alone and while another client requests 1000
 * rows in a loop.
 */
export async function measureFairness(bench: Bench): Promise<FairnessRow[]> {
  const { file, key } = await prepareStage(bench, largestSize(bench));
  const { name, port } = await startSandpit(bench, 'sandpit', file, 'silent');
  const quick = startWorker<ClientMethods>('http/client.ts', [], 1);
  const heavy = startWorker<ClientMethods>('http/client.ts', [], 1);
  const load = (limit: number) => ({
    port,
    key,
    connections: 1,
    paths: [pathOf(null, limit)],
    milliseconds: roundMilliseconds,
  });
  const alone: LoadResult[] = [];
  const beside: LoadResult[] = [];
  await quick.load(load(1));
  for (let round = 0; round < bench.options.rounds; round++) {
    alone.push(await quick.load(load(1)));
    const [result] = await Promise.all([quick.load(load(1)), heavy.load(load(1000))]);
    beside.push(result);
  }
  const rows = [
    { server: name, beside: 'nobody', ...joined(alone) },
    { server: name, beside: 'limit 1000 in a loop', ...joined(beside) },
  ];
  for (const row of rows) trial(`fairness, beside ${row.beside}: p99 ${row.p99.toFixed(2)} ms`);
  return rows;
}
