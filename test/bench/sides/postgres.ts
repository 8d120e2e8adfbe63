import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { atEnd, canPin, stopProcess, succeeds } from '../cleanup.ts';

/**
 * Returns the directory of the newest PostgreSQL programs, `''` if they are on the PATH, or null
 * if PostgreSQL is not installed.
 */
export function findPostgres(): string | null {
  const debian = '/usr/lib/postgresql';
  const versions = readdirOr(debian).sort((a, b) => Number(b) - Number(a));
  const found = versions.map((version) => join(debian, version, 'bin'));
  return [...found, ''].find((bin) => succeeds(join(bin, 'initdb'), ['--version'])) ?? null;
}

/** Returns the output of `postgres --version`. */
export function postgresVersion(bin: string): string {
  return execFileSync(join(bin, 'postgres'), ['--version'], { encoding: 'utf8' }).trim();
}

/**
 * Starts a PostgreSQL server in `dir`, which must not exist. It listens on a Unix socket only and
 * stops with the program. Returns the directory of the socket. Throws an Error if the server does
 * not start.
 */
export async function startPostgres(bin: string, dir: string): Promise<string> {
  const data = join(dir, 'data');
  const user = unprivilegedUser();
  mkdirSync(dir);
  chmodSync(join(dir, '..'), 0o755);
  if (user) chownSync(dir, user.uid, user.gid);
  const initdb = ['-D', data, '-U', 'bench', '-A', 'trust', '--locale=C', '-E', 'UTF8'];
  execFileSync(join(bin, 'initdb'), initdb, { ...user, cwd: dir, stdio: 'ignore' });
  writeFileSync(join(data, 'postgresql.auto.conf'), settings(dir));
  const child = spawn(join(bin, 'postgres'), ['-D', data], { ...user, cwd: dir, stdio: 'ignore' });
  // SIGINT is its fast shutdown.
  atEnd(() => stopProcess(child, 'SIGINT'));
  await answers(dir);
  return dir;
}

/** Pins future connections of the server in `dir` to these cores. */
export function pinPostgres(dir: string, cores: string): void {
  const [pid = ''] = readFileSync(join(dir, 'data', 'postmaster.pid'), 'utf8').split('\n');
  if (canPin) execFileSync('taskset', ['-cp', cores, pid], { stdio: 'ignore' });
}

/** Sensible settings for one machine: all data in memory, every commit durable. */
function settings(dir: string): string {
  const sharedMb = Math.min(2048, Math.floor(totalmem() / 2 ** 20 / 4));
  return `
listen_addresses = ''
unix_socket_directories = '${dir}'
shared_buffers = ${sharedMb}MB
effective_cache_size = ${sharedMb * 4}MB
work_mem = 64MB
maintenance_work_mem = ${Math.floor(sharedMb / 4)}MB
random_page_cost = 1.1
jit = off
max_wal_size = 8GB
fsync = on
synchronous_commit = on
`;
}

async function answers(socketDirectory: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const client = new pg.Client({ host: socketDirectory, user: 'bench', database: 'postgres' });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (error) {
      if (attempt === 100) throw new Error('PostgreSQL does not start', { cause: error });
      await delay(100);
    }
  }
}

/** PostgreSQL refuses to run as root. */
function unprivilegedUser(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  const line = ['postgres', 'nobody'].map((name) => lines.find((each) => each.startsWith(`${name}:`))).find(Boolean);
  const [, , uid, gid] = line?.split(':') ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

function readdirOr(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
