import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { killRunning, serve, serveTest } from '../helpers/processes/process.ts';
import { preparePython, runPython } from '../helpers/python.ts';
import { readReport, type Tally } from './report.ts';

/**
 * `npm run judge:schemathesis`: Schemathesis sends running servers valid and invalid requests
 * generated from their contract.
 */
const here = fileURLToPath(new URL('.', import.meta.url));
const apiKey = `e2b_${'0'.repeat(40)}`;

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
    const code = await runPython(python, ['-m', 'schemathesis.cli', 'run', `${url}/openapi.json`, ...options], {
      cwd: here,
      env: { SANDPIT_API_KEY: key, SANDPIT_EXPLAINED: explained },
    });
    return readReport(report, explained, code);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function main(): Promise<number> {
  const python = preparePython('schemathesis', join(here, 'requirements.txt'));
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
