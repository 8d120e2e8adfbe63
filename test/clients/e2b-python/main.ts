import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { keepPart } from '../../docs/marked.ts';
import { type Result, sideBySide } from '../../docs/results.ts';
import { makeDomainCertificate } from '../../helpers/certificate.ts';
import { closeNow } from '../../helpers/listen.ts';
import { killRunning, serve, serveTest } from '../../helpers/processes/process.ts';
import { preparePython, runExamples } from '../../helpers/python.ts';
import { startTunnel } from '../../helpers/tunnel.ts';

/**
 * `npm run judge:e2b-python`: E2B's published Python packages, unmodified, call a running server.
 * `--write` writes the table to COMPATIBILITY.md; without it, a table that differs is a failure.
 */
const here = fileURLToPath(new URL('.', import.meta.url));
const versions = ['2.45.1', '2.59.0', '2.63.0'];
const domain = 'sandboxes.test';
const apiKey = `e2b_${'6'.repeat(40)}`;

type Line = { names: string[]; half: 'sync' | 'async'; result: Result; failure: string | null };

function pythonOf(version: string): string {
  return preparePython(`e2b-python-${version}`, `${here}requirements-${version}.txt`);
}

/** Runs the checks with these variables: those of a domain if there are no URLs. */
async function resultsOf(version: string, variables: Record<string, string>): Promise<Line[]> {
  const child = spawn(pythonOf(version), ['main.py'], {
    cwd: here,
    env: {
      PATH: process.env.PATH,
      PYTHONDONTWRITEBYTECODE: '1',
      E2B_API_KEY: apiKey,
      ...variables,
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

/** Returns the table of the results in Markdown, with a column for each version. */
function tableOf(lines: Map<string, Line[]>): string {
  const names = new Set([...lines.values()].flat().flatMap((line) => line.names));
  const resultOf = (version: string, name: string) =>
    lines.get(version)?.find((line) => line.names.includes(name))?.result;
  const calls = new Map([...names].map((name) => [name, versions.map((version) => resultOf(version, name))]));
  const titles = versions.map((version) => `e2b ${version}`);
  return sideBySide(titles, calls);
}

async function main(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'sandpit-e2b-python-'));
  const flagsFor = (name: string) => ['--db', join(directory, name), '--api-key', apiKey, '--log-level', 'error'];
  const server = await serve(flagsFor('sandpit.db'));
  const faulty = await serveTest();
  const { cert, key, ca } = await makeDomainCertificate(domain);
  const tls = ['--tls-cert', cert, '--tls-key', key];
  const named = await serve([...flagsFor('named.db'), ...tls, '--domain', domain]);
  const tunnel = await startTunnel(Number(new URL(named.url).port));
  const urls = {
    E2B_API_URL: server.url,
    E2B_SANDBOX_URL: server.url,
    FAULTY_URL: faulty.url,
    FAULTY_KEY: faulty.apiKey,
  };
  const names = { E2B_DOMAIN: domain, SSL_CERT_FILE: ca, TUNNEL_URL: tunnel.url };
  const results = new Map<string, Line[]>();
  for (const version of versions) {
    results.set(version, [...(await resultsOf(version, urls)), ...(await resultsOf(version, names))]);
  }
  await runExamples(pythonOf(versions.at(-1) ?? ''), 'e2b', server.url, apiKey);
  closeNow(tunnel.server);
  for (const each of [server, faulty, named]) await each.stop();
  rmSync(directory, { recursive: true });
  const failed = [...results].flatMap(([version, lines]) =>
    lines.filter(({ failure }) => failure !== null).map((line) => ({ version, ...line })),
  );
  for (const { version, half, names, failure } of failed) console.log(`${version} ${half} ${names[0]}: ${failure}`);
  if (failed.length === 0) keepPart({ page: 'COMPATIBILITY.md', name: 'e2b python' }, tableOf(results));
  const all = [...results.values()].flat().length;
  console.log(`\n${all - failed.length} passed, ${failed.length} failed`);
  return failed.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} finally {
  killRunning();
}
