import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hostPlatform } from '../../../app/package/platforms.ts';
import { freePort } from '../../helpers/listen.ts';
import { atEnd, stopProcess } from '../cleanup.ts';
import { sampleRows } from '../data.ts';
import type { Bench } from '../options.ts';
import { note, progress, trial } from '../progress.ts';
import type { StartRow } from '../report/results.ts';
import { median } from '../report/stats.ts';
import { pathOf, prepareStage, type Stage } from './http.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const executable = join(root, 'dist', `sandpit-${hostPlatform}`);
const trialsPerRound = 3;

/**
 * Measures how long a checkout and the executable take from the start of the process to the first
 * answer, and the memory of a server with the largest store after requests of all kinds.
 */
export async function measureStarts(bench: Bench): Promise<StartRow[]> {
  const programs = { 'npm start': [process.execPath, join(root, 'app/main.ts')], 'the executable': [executable] };
  if (!existsSync(executable)) note('There is no executable to start: npm run package');
  const stage = await prepareStage(bench, Math.max(...bench.options.sizes));
  const used = mkdtempSync(join(bench.dir, 'start-'));
  const trials = Object.entries(programs)
    .filter(([, [program = '']]) => existsSync(program))
    .flatMap(([name, program]) => [
      { name, run: () => timeToAnswer(program, join(used, 's.db')) },
      {
        name: `${name}, new database`,
        run: () => timeToAnswer(program, join(mkdtempSync(join(bench.dir, 'new-')), 's.db')),
      },
      { name: `${name}, --test`, run: () => timeToReady(program) },
    ]);
  const times = new Map<string, number[]>(trials.map(({ name }) => [name, []]));
  // The first ones fill caches. After that they take turns: all meet the same moments of a machine.
  for (const { run } of trials) await run();
  for (let round = 0; round < bench.options.rounds * trialsPerRound; round++) {
    for (const { name, run } of trials) {
      progress(`start, round ${round + 1}: ${name}`);
      times.get(name)?.push(await run());
    }
  }
  const rows: StartRow[] = [...times].map(([what, all]) => ({ what, value: median(all), unit: 'ms' as const }));
  if (existsSync(executable)) rows.push({ what: 'the executable, its size', value: megabytes(executable), unit: 'MB' });
  for (const row of rows) trial(`start ${row.what}: ${row.value.toFixed(0)} ${row.unit}`);
  return [...rows, ...(await measureMemory(stage))];
}

function megabytes(file: string): number {
  return statSync(file).size / 1e6;
}

/** To an answer of a server of an ordinary database. */
async function timeToAnswer(program: string[], db: string): Promise<number> {
  const begin = performance.now();
  const { end } = await startServer(program, db);
  const time = performance.now() - begin;
  await end();
  return time;
}

/** To the line that says where a test server is, and an answer of it. */
async function timeToReady([file = '', ...args]: string[]): Promise<number> {
  const begin = performance.now();
  const child = spawn(file, [...args, 'serve', '--test'], { stdio: ['pipe', 'pipe', 'ignore'] });
  atEnd(() => stopProcess(child));
  const [line] = await once(child.stdout, 'data');
  const { url, apiKey } = JSON.parse(String(line));
  await fetch(`${url}/v1/sessions/sandboxes`, { headers: { 'X-API-Key': apiKey } });
  const time = performance.now() - begin;
  child.stdin.end();
  await once(child, 'exit');
  return time;
}

/** The memory, as the kernel tells it, of a server that has begun, and after lists of each kind. */
async function measureMemory({ file, key, dataset }: Stage): Promise<StartRow[]> {
  if (process.platform !== 'linux') return [];
  const { pid, url, end } = await startServer([process.execPath, join(root, 'app/main.ts')], file);
  const begun = residentMegabytes(pid);
  const headers = { 'X-API-Key': key };
  for (const { userId, env } of sampleRows(dataset, 0, 300).map(({ metadata }) => metadata)) {
    for (const [filter, limit] of [
      [null, 1000],
      [{ env }, 1000],
      [{ userId }, 100],
    ] as const)
      await (await fetch(`${url}${pathOf(filter, limit)}`, { headers })).arrayBuffer();
  }
  const after = residentMegabytes(pid);
  await end();
  const size = dataset.size.toLocaleString('en');
  const rows: StartRow[] = [
    { what: `memory of a server with ${size} sandboxes, begun`, value: begun, unit: 'MB' },
    { what: `memory of a server with ${size} sandboxes, after 900 lists`, value: after, unit: 'MB' },
  ];
  for (const row of rows) trial(`${row.what}: ${row.value.toFixed(0)} ${row.unit}`);
  return rows;
}

function residentMegabytes(pid: number): number {
  const [, kibibytes = ''] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return (Number(kibibytes) * 1024) / 1e6;
}

type Started = { pid: number; url: string; end: () => Promise<void> };

/** Starts a server and waits for its first answer. */
async function startServer([file = '', ...args]: string[], db: string): Promise<Started> {
  const port = await freePort();
  const serve = ['serve', '--port', `${port}`, '--db', db, '--machines', 'none', '--log-level', 'error'];
  const child = spawn(file, [...args, ...serve], { stdio: 'ignore' });
  atEnd(() => stopProcess(child));
  const url = `http://127.0.0.1:${port}`;
  while (!(await answers(url))) if (child.exitCode !== null) throw new Error(`${file} ended with ${child.exitCode}`);
  return { pid: child.pid as number, url, end: () => stopProcess(child) };
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`)).status === 200;
  } catch {
    return false;
  }
}
