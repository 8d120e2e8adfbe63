import { readFileSync } from 'node:fs';
import type { ClientMethods } from '../../bench/http/client.ts';
import { summarize } from '../../bench/report/stats.ts';
import { startWorker, type Worker } from '../../bench/worker.ts';
import { figures } from '../runner/record.ts';
import { isMeasured } from './scale.ts';
import type { Target } from './target.ts';

const calmMilliseconds = 1500;
const rounds = 5;
const path = '/v1/sessions/sandboxes?limit=1';

/**
 * Runs a flood while a bystander keeps sending requests. Returns the flood's result, or the
 * bystander's failures if there were any. In a measured run, the bystander is a separate process,
 * the flood runs five times, and the figures are added to the report.
 */
export async function withBystander(
  name: string,
  target: Target,
  key: string,
  flood: () => Promise<string>,
): Promise<string> {
  return isMeasured ? measured(name, target, key, flood) : accompanied(target, key, flood);
}

async function accompanied({ ask }: Target, key: string, flood: () => Promise<string>): Promise<string> {
  let isOver = false;
  const flooding = flood().finally(() => {
    isOver = true;
  });
  const failures: number[] = [];
  while (!isOver) {
    const { status } = await ask('GET', path, { headers: { 'X-API-Key': key } });
    if (status !== 200) failures.push(status);
  }
  const said = await flooding;
  return failures.length > 0 ? `${said}; somebody else was answered ${failures}` : said;
}

async function measured(name: string, target: Target, key: string, flood: () => Promise<string>): Promise<string> {
  const { pid } = target.serving;
  const client: Worker<ClientMethods> = startWorker('client.ts');
  const load = (milliseconds: number) =>
    client.load({ port: target.port, paths: [path], key, connections: 1, milliseconds });
  const calm = summarize((await load(calmMilliseconds)).milliseconds);
  const memory = { before: residentMebibytes(pid), peak: 0, after: [] as number[] };
  const sampler = setInterval(() => {
    memory.peak = Math.max(memory.peak, residentMebibytes(pid));
  }, 50);
  let said = '';
  let failures = 0;
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    let isOver = false;
    const flooding = flood().finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const result = await load(250);
      times.push(...result.milliseconds);
      failures += result.failures;
    }
    said = await flooding;
    memory.after.push(residentMebibytes(pid));
  }
  clearInterval(sampler);
  await client.stop();
  const meanwhile = summarize(times);
  const ratio = (quantile: 'p50' | 'p99') => `${(meanwhile[quantile] / calm[quantile]).toFixed(1)} x`;
  figures.push(
    `${name}: somebody else's latency ${shown(calm)} before, ${shown(meanwhile)} meanwhile (${ratio('p50')}, ${ratio('p99')}), ` +
      `longest ${meanwhile.max.toFixed(0)} ms, ${meanwhile.calls} answers, ${failures} refused; memory ${memory.before} MiB before, ` +
      `${memory.peak} at most, ${memory.after.join(', ')} after each of ${rounds} times`,
  );
  return said;
}

function shown({ p50, p99 }: { p50: number; p99: number }): string {
  return `p50 ${p50.toFixed(2)} p99 ${p99.toFixed(2)} ms`;
}

/** Returns the resident memory of a process in bytes, read from /proc; 0 on other systems. */
export function residentMebibytes(pid: number): number {
  try {
    return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024);
  } catch {
    return 0;
  }
}
