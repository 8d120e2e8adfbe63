import { sqliteVersion } from '../db/sqlite/driver/connection.ts';
import { isExecutable, readEmbedded } from '../spec/assets.ts';
import { loadContract } from '../spec/load.ts';

/**
 * Returns the versions of this program, of Node and of SQLite, and the commit that an executable
 * was built from.
 */
export function versions(): { version: string; commit: string; node: string; sqlite: string } {
  const { version } = loadContract().info;
  const commit = isExecutable() ? JSON.parse(readEmbedded('build.json').toString()).commit : 'checkout';
  return { version, commit, node: process.versions.node, sqlite: sqliteVersion() };
}

/** Returns the versions of this program, of Node and of SQLite, in one line. */
export function versionText(): string {
  const { version, commit, node, sqlite } = versions();
  return `sandpit ${version} (${commit}), Node ${node}, SQLite ${sqlite}`;
}
