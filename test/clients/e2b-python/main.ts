import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { killRunning, serve } from '../../helpers/processes/process.ts';
import { preparePython } from '../venv.ts';

/** `npm run judge:e2b-python`: E2B's published Python packages, unmodified, call a running server. */
const here = fileURLToPath(new URL('.', import.meta.url));
const versions = ['2.45.1', '2.59.0', '2.63.0'];
const apiKey = `e2b_${'6'.repeat(40)}`;

type Line = { names: string[]; half: 'sync' | 'async'; result: string; failure: string | null };

async function resultsOf(version: string, url: string): Promise<Line[]> {
  const python = preparePython(`e2b-python-${version}`, `${here}requirements-${version}.txt`);
  const child = spawn(python, ['main.py'], {
    cwd: here,
    env: {
      PATH: process.env.PATH,
      PYTHONDONTWRITEBYTECODE: '1',
      E2B_API_KEY: apiKey,
      E2B_API_URL: url,
      E2B_SANDBOX_URL: url,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  const lines: Line[] = [];
  for await (const line of createInterface({ input: child.stdout })) lines.push(JSON.parse(line));
  const [code] = await ended;
  if (code !== 0) throw new Error(`the checks of ${version} ended with status ${code}`);
  return lines;
}

/** Returns the table of the results in Markdown: a row for each call, a column for each version. */
function tableOf(results: Map<string, Line[]>): string {
  const names = new Set([...results.values()].flat().flatMap((line) => line.names));
  const cell = (version: string, name: string) =>
    results.get(version)?.find((line) => line.names.includes(name))?.result ?? '–';
  const rows = [...names].sort().map((name) => [`\`${name}\``, ...versions.map((version) => cell(version, name))]);
  const lines = [['', ...versions], ['---', ...versions.map(() => '---')], ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

async function main(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'sandpit-e2b-python-'));
  const server = await serve(['--db', join(directory, 'sandpit.db'), '--api-key', apiKey, '--log-level', 'error']);
  const results = new Map<string, Line[]>();
  for (const version of versions) results.set(version, await resultsOf(version, server.url));
  await server.stop();
  rmSync(directory, { recursive: true });
  const failed = [...results].flatMap(([version, lines]) =>
    lines.filter(({ failure }) => failure !== null).map((line) => ({ version, ...line })),
  );
  for (const { version, half, names, failure } of failed) console.log(`${version} ${half} ${names[0]}: ${failure}`);
  if (failed.length === 0) console.log(tableOf(results));
  const all = [...results.values()].flat().length;
  console.log(`\n${all - failed.length} passed, ${failed.length} failed`);
  return failed.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} finally {
  killRunning();
}
