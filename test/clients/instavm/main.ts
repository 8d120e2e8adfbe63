import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { keepPart } from '../../docs/marked.ts';
import { killRunning, serve } from '../../helpers/processes/process.ts';
import { runExamples, runPython } from '../../helpers/python.ts';
import { createKey, here, preparedPython } from './run.ts';

/**
 * `npm run judge:instavm` calls every method and command of InstaVM's published Python package
 * against a running server. `--write` writes the table to COMPATIBILITY.md; without it, a table
 * that differs is a failure. A text makes only the calls whose kind and name contain it.
 */
async function judge(): Promise<number> {
  const python = preparedPython();
  const directory = mkdtempSync(join(tmpdir(), 'sandpit-instavm-'));
  const db = join(directory, 'sandpit.db');
  try {
    const key = await createKey(db);
    const server = await serve(['--db', db, '--webhook-allow', '127.0.0.0/8', '--log-level', 'error']);
    const table = join(directory, 'table.md');
    const judged = { SANDPIT_URL: server.url, SANDPIT_KEY: key, JUDGE_DIRECTORY: directory, JUDGE_TABLE: table };
    const env = { ...judged, HOME: directory };
    const code = await runPython(python, ['judge.py', ...process.argv.slice(2)], { cwd: here, env });
    // Only a whole run in which nothing failed makes a table.
    if (existsSync(table)) {
      await runExamples(python, 'instavm', { url: server.url, key });
      keepPart({ page: 'COMPATIBILITY.md', name: 'instavm' }, readFileSync(table, 'utf8'));
    }
    await server.stop();
    return code;
  } finally {
    killRunning();
    rmSync(directory, { recursive: true });
  }
}

process.exitCode = await judge();
