import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { killRunning, serve, serveTest } from '../helpers/processes/process.ts';
import { readReport, type Tally } from './report.ts';

/**
 * `npm run judge:schemathesis`: Schemathesis sends running servers valid and invalid requests
 * generated from their contract.
 */
const here = fileURLToPath(new URL('.', import.meta.url));
const venv = fileURLToPath(new URL('../../dist/schemathesis', import.meta.url));
const requirements = join(here, 'requirements.txt');
const apiKey = `e2b_${'0'.repeat(40)}`;

async function run(file: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
  const child = spawn(file, args, {
    cwd: here,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [code] = await once(child, 'close');
  return code ?? 1;
}

/** Creates the Python environment, unless it exists with the same requirements. */
async function install(): Promise<string> {
  const python = join(venv, 'bin', 'python');
  const installed = join(venv, 'requirements.txt');
  const wanted = readFileSync(requirements, 'utf8');
  if (existsSync(installed) && readFileSync(installed, 'utf8') === wanted) return python;
  rmSync(venv, { recursive: true, force: true });
  mkdirSync(venv, { recursive: true });
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', requirements];
  if ((await run('python3', ['-m', 'venv', venv])) !== 0 || (await run(python, pip)) !== 0)
    throw new Error('Schemathesis could not be installed: python3 of 3.11 or later with venv, and PyPI, are needed');
  writeFileSync(installed, wanted);
  return python;
}

/** How often a run is repeated if Schemathesis itself fails. */
const maxRepeats = 2;

/**
 * Runs Schemathesis on every operation whose path matches. Returns the result. Hypothesis
 * occasionally fails by itself (`Flaky`), which says nothing about the server: then the run is
 * repeated. A run with a finding is never repeated.
 */
async function judge(...[python, title, url, paths, key]: Parameters<typeof judgeOnce>): Promise<Tally> {
  for (let repeats = 0; ; repeats++) {
    const tally = await judgeOnce(python, title, url, paths, key);
    if (!tally.isBroken || tally.failed > 0 || repeats === maxRepeats) return tally;
    console.log('\nSchemathesis itself failed: it asks again.');
  }
}

async function judgeOnce(python: string, title: string, url: string, paths: string, key: string): Promise<Tally> {
  console.log(`\n# ${title}\n`);
  const dir = mkdtempSync(join(tmpdir(), 'sandpit-schemathesis-'));
  const report = join(dir, 'report.ndjson');
  const explained = join(dir, 'explained.json');
  const options = ['--include-path-regex', paths, '--report-ndjson-path', report, '--no-color', '--warnings', 'off'];
  try {
    const code = await run(python, ['-m', 'schemathesis.cli', 'run', `${url}/openapi.json`, ...options], {
      SANDPIT_API_KEY: key,
      SANDPIT_EXPLAINED: explained,
    });
    return readReport(report, explained, code);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function main(): Promise<number> {
  const python = await install();
  const dir = mkdtempSync(join(tmpdir(), 'sandpit-judged-'));
  const db = join(dir, 'sandpit.db');
  const logins = ['--login-attempts', '1000000'];
  const ordinary = await serve(['--db', db, '--api-key', apiKey, '--log-level', 'error', ...logins]);
  const forTests = await serveTest();
  const tallies = [
    await judge(python, 'An ordinary server, with an API key', ordinary.url, '', apiKey),
    await judge(python, 'What only a test server has', forTests.url, '^/_test/', forTests.apiKey),
  ];
  await Promise.all([ordinary.stop(), forTests.stop()]);
  rmSync(dir, { recursive: true, force: true });
  for (const { explained } of tallies)
    for (const [reason, count] of Object.entries(explained))
      console.log(`${String(count).padStart(6)} explained: ${reason}`);
  const sum = (of: (tally: Tally) => number) => tallies.reduce((total, tally) => total + of(tally), 0);
  console.log(`\n${sum(({ cases }) => cases)} requests to ${sum(({ operations }) => operations)} operations`);
  const failed = sum((tally) => tally.failed) + tallies.filter(({ isBroken }) => isBroken).length;
  console.log(`${sum(({ operations }) => operations) - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} finally {
  killRunning();
}
