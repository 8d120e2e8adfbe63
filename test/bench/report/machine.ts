import { readFileSync } from 'node:fs';
import { findPackageJSON } from 'node:module';
import { arch, cpus, platform, release, totalmem } from 'node:os';
import Database from 'better-sqlite3';

const named = ['better-sqlite3', 'kysely', 'express', 'express-openapi-validator', 'pg'];

/** Returns the machine, the system and the versions that the figures were measured with. */
export function machine(extra: Record<string, string>): Record<string, string> {
  const cores = cpus();
  return {
    machine: `${cores.length} x ${cores[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${systemName()}, ${platform()} ${release()} ${arch()}`,
    node: process.version,
    sqlite: String(new Database(':memory:').prepare('select sqlite_version()').pluck().get()),
    packages: named.map((name) => `${name} ${versionOf(name)}`).join(', '),
    ...extra,
    date: new Date().toISOString(),
  };
}

function versionOf(name: string): string {
  const file = findPackageJSON(name, import.meta.url);
  const { version } = JSON.parse(readFileSync(file ?? '', 'utf8')) as { version: string };
  return version;
}

function systemName(): string {
  try {
    return /PRETTY_NAME="(.*)"/.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? platform();
  } catch {
    return platform();
  }
}
