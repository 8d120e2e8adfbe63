import { sqliteVersion } from '../db/sqlite.ts';
import { isExecutable, readEmbedded } from '../spec/assets.ts';
import { loadContract } from '../spec/load.ts';

/** Returns the versions of this program, of Node and of SQLite, in one line. */
export function versionText(): string {
  const { version } = loadContract().info;
  const origin = isExecutable() ? JSON.parse(readEmbedded('build.json').toString()).commit : 'checkout';
  return `sandpit ${version} (${origin}), Node ${process.versions.node}, SQLite ${sqliteVersion()}`;
}
