import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keepPart } from '../../docs/marked.ts';
import { killRunning, serve } from '../../helpers/processes/process.ts';
import { runPython } from '../../helpers/python.ts';
import { startEngine } from '../../machines/engines/engines.ts';
import { createKey, here, preparedPython } from './run.ts';

/**
 * `npm run judge:instavm-machines` calls every method and command of InstaVM's published Python
 * package against a server whose sandboxes are machines of Docker. `--write` writes the table to
 * COMPATIBILITY.md; without it, a table that differs is a failure.
 */
async function judge(): Promise<number> {
  const python = preparedPython();
  const directory = mkdtempSync(join(tmpdir(), 'sandpit-instavm-'));
  const engine = await startEngine('docker');
  try {
    // What the calls ask for, and no registry here has.
    await engine.ask('POST', `/images/${engine.image}/tag?repo=docker.io/library/ubuntu&tag=24.04`);
    const db = join(directory, 'sandpit.db');
    const key = await createKey(db);
    const machines = ['--machines', 'docker', '--engine', engine.address, '--image', engine.image, '--ssh-port', '0'];
    const server = await serve(['--db', db, '--webhook-allow', '127.0.0.0/8', '--log-level', 'error', ...machines]);
    const table = join(directory, 'table.md');
    const judged = { SANDPIT_URL: server.url, SANDPIT_KEY: key, JUDGE_DIRECTORY: directory, JUDGE_TABLE: table };
    const [, sshPort = ''] = /SSH: ssh -p (\d+)/.exec(server.output.stderr) ?? [];
    const env = { ...judged, HOME: directory, HAS_MACHINES: 'true', SSH_PORT: sshPort };
    const code = await runPython(python, ['judge.py', ...process.argv.slice(2)], { cwd: here, env });
    if (code === 0) keepPart({ page: 'COMPATIBILITY.md', name: 'instavm machines' }, readFileSync(table, 'utf8'));
    await server.stop();
    return code;
  } finally {
    killRunning();
    await engine.stop();
    rmSync(directory, { recursive: true });
  }
}

process.exitCode = await judge();
