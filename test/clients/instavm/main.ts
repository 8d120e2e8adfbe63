import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keepPart } from '../../docs/marked.ts';
import { killRunning, sandpit, serve } from '../../helpers/processes/process.ts';
import { preparePython, runExamples, runPython } from '../../helpers/python.ts';

/**
 * `npm run judge:instavm` calls every method and command of InstaVM's published Python package
 * against a running server. `--write` writes the table to COMPATIBILITY.md; without it, a table
 * that differs is a failure. A text makes only the calls whose kind and name contain it.
 */
const here = fileURLToPath(new URL('.', import.meta.url));

async function judge(): Promise<number> {
  const python = preparePython('instavm', join(here, 'requirements.txt'));
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

/** Creates a user and returns an API key of theirs: `get_current_user` needs a user. */
async function createKey(db: string): Promise<string> {
  await sandpit(['users', 'create', 'alice', '--db', db]);
  const { code, stdout, stderr } = await sandpit(['keys', 'create', '--user', 'alice', '--db', db]);
  if (code !== 0) throw new Error(`The key could not be made: ${stderr}`);
  return stdout.trim();
}

process.exitCode = await judge();
