import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hostPlatform } from '../../app/package/platforms.ts';
import { freePort } from '../helpers/listen.ts';

/**
 * `npm run bench:start` prints how long a checkout and the executable take from the start of the
 * process to the first 200, with a new database and with one that exists, and as a test server.
 */

const rounds = 15;
const root = fileURLToPath(new URL('../..', import.meta.url));
const executable = join(root, 'dist', `sandpit-${hostPlatform}`);
const checkout = [process.execPath, join(root, 'app/main.ts')];
const existing = mkdtempSync(join(tmpdir(), 'sandpit-start-'));
const trials: Record<string, () => Promise<number>> = {
  'npm start': () => timeToAnswer(checkout, existing),
  'npm start, new database': () => inNewDirectory((dir) => timeToAnswer(checkout, dir)),
  'the executable': () => timeToAnswer([executable], existing),
  'the executable, new database': () => inNewDirectory((dir) => timeToAnswer([executable], dir)),
  'npm start, --test': () => timeToReady(checkout),
  'the executable, --test': () => timeToReady([executable]),
};

await timeToAnswer([executable], existing);
const times = new Map<string, number[]>();
for (let round = 0; round < rounds; round++) {
  // In turns: both meet the same moments of a shared machine.
  for (const [name, trial] of Object.entries(trials)) times.set(name, [...(times.get(name) ?? []), await trial()]);
}
rmSync(existing, { recursive: true });
for (const [name, all] of times) console.log(`${name.padEnd(28)} ${median(all).toFixed(0)} ms`);
console.log(`${'size'.padEnd(28)} ${(statSync(executable).size / 2 ** 20).toFixed(1)} MiB`);

async function inNewDirectory(trial: (dir: string) => Promise<number>): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'sandpit-start-'));
  const time = await trial(dir);
  rmSync(dir, { recursive: true });
  return time;
}

async function timeToAnswer([file = '', ...args]: string[], dir: string): Promise<number> {
  const port = await freePort();
  const begin = performance.now();
  const child = spawn(
    file,
    [...args, 'serve', '--port', String(port), '--db', join(dir, 's.db'), '--machines', 'none'],
    { stdio: 'ignore' },
  );
  while (!(await answers(port)));
  const time = performance.now() - begin;
  child.kill();
  await once(child, 'exit');
  return time;
}

/** To the line that says where a test server is, and an answer of it. */
async function timeToReady([file = '', ...args]: string[]): Promise<number> {
  const begin = performance.now();
  const child = spawn(file, [...args, 'serve', '--test'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const [line] = await once(child.stdout, 'data');
  const { url, apiKey } = JSON.parse(String(line));
  await fetch(`${url}/v1/sessions/sandboxes`, { headers: { 'X-API-Key': apiKey } });
  const time = performance.now() - begin;
  child.stdin.end();
  await once(child, 'exit');
  return time;
}

async function answers(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/health`)).status === 200;
  } catch {
    return false;
  }
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
