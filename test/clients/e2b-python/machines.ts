import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeDomainCertificate } from '../../helpers/certificate.ts';
import { closeNow } from '../../helpers/listen.ts';
import { killRunning, serve } from '../../helpers/processes/process.ts';
import { runExamples } from '../../helpers/python.ts';
import { startTunnel } from '../../helpers/tunnel.ts';
import { type EngineName, startEngine, type TestEngine } from '../../machines/engines/engines.ts';
import { apiKey, domain, type Line, pythonOf, report, resultsOf, versions } from './run.ts';

/**
 * `npm run judge:e2b-python-machines`: E2B's published Python packages, unmodified, use machines of
 * Docker and of Podman, or of the engines that TEST_ENGINES names. `--write` writes the table to
 * COMPATIBILITY.md; without it, a table that differs is a failure.
 */
const names = (process.env.TEST_ENGINES ?? 'docker,podman').split(',') as EngineName[];

async function judge({ engine, address, image }: TestEngine): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'sandpit-e2b-python-'));
  const machines = ['--machines', 'docker', '--engine', address, '--image', image];
  const flagsFor = (name: string) => ['--db', join(directory, name), '--api-key', apiKey, '--log-level', 'error'];
  const server = await serve([...flagsFor('sandpit.db'), ...machines]);
  const { cert, key, ca } = await makeDomainCertificate(domain);
  const tls = ['--tls-cert', cert, '--tls-key', key];
  const named = await serve([...flagsFor('named.db'), ...tls, '--domain', domain, ...machines]);
  const tunnel = await startTunnel(Number(new URL(named.url).port));
  const urls = { HAS_MACHINES: 'true', E2B_API_URL: server.url, E2B_SANDBOX_URL: server.url };
  const byDomain = { HAS_MACHINES: 'true', E2B_DOMAIN: domain, SSL_CERT_FILE: ca, TUNNEL_URL: tunnel.url };
  const results = new Map<string, Line[]>();
  for (const version of versions) {
    results.set(version, [...(await resultsOf(version, urls)), ...(await resultsOf(version, byDomain))]);
  }
  await runExamples(pythonOf(versions.at(-1) ?? ''), 'e2b', { url: server.url, key: apiKey, hasMachines: true });
  closeNow(tunnel.server);
  await server.stop();
  await named.stop();
  rmSync(directory, { recursive: true });
  console.log(`\nMachines of ${engine}:`);
  return report(results, 'e2b python machines');
}

async function main(): Promise<number> {
  let passed = true;
  for (const name of names) {
    const engine = await startEngine(name);
    try {
      passed = (await judge(engine)) && passed;
    } finally {
      killRunning();
      await engine.stop();
    }
  }
  return passed ? 0 : 1;
}

process.exitCode = await main();
