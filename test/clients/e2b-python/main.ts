import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeDomainCertificate } from '../../helpers/certificate.ts';
import { closeNow } from '../../helpers/listen.ts';
import { killRunning, serve, serveTest } from '../../helpers/processes/process.ts';
import { runExamples } from '../../helpers/python.ts';
import { startTunnel } from '../../helpers/tunnel.ts';
import { apiKey, domain, type Line, pythonOf, report, resultsOf, versions } from './run.ts';

/**
 * `npm run judge:e2b-python`: E2B's published Python packages, unmodified, call a running server.
 * `--write` writes the table to COMPATIBILITY.md; without it, a table that differs is a failure.
 */
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
  await runExamples(pythonOf(versions.at(-1) ?? ''), 'e2b', { url: server.url, key: apiKey });
  closeNow(tunnel.server);
  for (const each of [server, faulty, named]) await each.stop();
  rmSync(directory, { recursive: true });
  return report(results, 'e2b python') ? 0 : 1;
}

try {
  process.exitCode = await main();
} finally {
  killRunning();
}
