import { execFileSync, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { connect } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../helpers/listen.ts';
import { atEnd, pinned, stopProcess } from '../cleanup.ts';
import type { Bench } from '../options.ts';
import { pinPostgres } from '../sides/postgres.ts';
import { ownerName, sandpitCommand } from '../sides/sandpit.ts';

export type Server = { name: string; port: number; filters: boolean };

const folder = fileURLToPath(new URL('servers', import.meta.url));
const pythonModules = ['fastapi', 'uvicorn', 'asyncpg', 'pydantic'];
const fastLoop = ['uvloop', 'httptools'];

/** Starts a bare server, `floor` or `express`, on a database file. */
export function startBare(bench: Bench, name: 'floor' | 'express', file: string): Promise<Server> {
  const script = join(folder, `${name}.ts`);
  return start(bench, name, (port) => [process.execPath, script, file, ownerName(0), `${port}`]);
}

/** Starts Sandpit whole, with further flags. */
export function startSandpit(
  bench: Bench,
  name: string,
  file: string,
  logLevel: string,
  ...flags: string[]
): Promise<Server> {
  return start(bench, name, (port) =>
    sandpitCommand('serve', '--db', file, '--port', `${port}`, '--log-level', logLevel, '--machines', 'none', ...flags),
  );
}

/**
 * Starts two FastAPI servers on the PostgreSQL database. For the first, PostgreSQL may use every
 * core; for the second, it shares FastAPI's core, as Sandpit's store shares Sandpit's.
 */
export async function startFastApis(bench: Bench, python: string, socketDirectory: string): Promise<Server[]> {
  const wide = await startFastApi(bench, 'fastapi, PostgreSQL on every core', python, socketDirectory);
  pinPostgres(socketDirectory, '0');
  const narrow = await startFastApi(bench, 'fastapi', python, socketDirectory);
  pinPostgres(socketDirectory, `0-${availableParallelism() - 1}`);
  return [narrow, wide];
}

/** The pool opens all connections before the server answers. */
function startFastApi(bench: Bench, name: string, python: string, socketDirectory: string): Promise<Server> {
  const fast = hasModules(python, fastLoop) ? ['--loop', 'uvloop', '--http', 'httptools'] : [];
  const app = ['fastapi_app:app', '--app-dir', folder, '--no-access-log', '--log-level', 'warning', ...fast];
  const command = (port: number) => [python, '-m', 'uvicorn', ...app, '--port', `${port}`];
  return start(bench, name, command, { PGHOST: socketDirectory, PYTHONDONTWRITEBYTECODE: '1' });
}

/** Returns the Python with FastAPI and the versions of its packages, or null. */
export function findPython(): { program: string; versions: string } | null {
  const program = ['/usr/bin/python3', 'python3'].find((each) => hasModules(each, pythonModules));
  if (!program) return null;
  const shown = [...pythonModules, ...fastLoop].filter((name) => hasModules(program, [name]));
  const script = `import sys, ${shown}; print(", ".join(n + " " + str(getattr(sys.modules[n], "__version__", "") or sys.modules[n].VERSION) for n in sys.argv[1:]))`;
  return { program, versions: execFileSync(program, ['-c', script, ...shown], { encoding: 'utf8' }).trim() };
}

function hasModules(python: string, names: string[]): boolean {
  try {
    execFileSync(python, ['-c', `import ${names}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Runs on the first core and logs to a file, so that the cost of logging is included. */
async function start(
  bench: Bench,
  name: string,
  commandOn: (port: number) => string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Server> {
  const port = await freePort();
  const [program = '', ...args] = pinned(0, commandOn(port));
  const log = openSync(join(bench.dir, `${name.replaceAll(/\W+/g, '-')}.log`), 'a');
  const child = spawn(program, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env } });
  atEnd(() => stopProcess(child));
  await listening(port);
  return { name, port, filters: name !== 'floor' && name !== 'express' };
}

async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    const socket = connect(port, '127.0.0.1');
    const up = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    if (up) return;
    await delay(100);
  }
  throw new Error(`nothing answers on port ${port}`);
}
