import { existsSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { StoreError } from '../../db/errors.ts';
import { clearOpenMark, openStore, type SqliteStore } from '../../db/sqlite/open.ts';
import { hasLogFile } from '../../db/sqlite/open-mark.ts';
import { readConfig } from '../config/config.ts';
import { type Config, settings } from '../config/settings.ts';

/** Adds a flag to the command for each of the named settings. */
export function addSettings(command: Command, names: (keyof Config)[]): Command {
  for (const name of names) {
    const { flag, argument, help, variable, fallback } = settings[name];
    const preset = fallback === undefined ? '' : `, default ${fallback}`;
    const usage = argument === 'boolean' ? `--${flag} [true|false]` : `--${flag} <${argument}>`;
    command.addOption(new Option(usage, `${help} (${variable}${preset})`));
    if (fallback === true) command.addOption(new Option(`--no-${flag}`, `the same as --${flag} false`));
  }
  return command;
}

/**
 * Returns `read` as an option parser. Commander names the flag and shows the Error's message, for
 * example "It must be ...".
 */
export function asFlag<T>(read: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return read(text);
    } catch (error) {
      throw new InvalidArgumentError(`It ${(error as Error).message}.`);
    }
  };
}

/**
 * Runs `work` with the store that the flags and the environment name, then closes it. Throws an
 * Error if the database does not exist, unless `mayCreate` is set.
 */
export async function withStore<T>(
  flags: Record<string, unknown>,
  work: (store: SqliteStore) => Promise<T>,
  { mayCreate = false, open = openStore } = {},
): Promise<T> {
  const { db } = readConfig(flags);
  if (!mayCreate && !existsSync(db)) throw new Error(`there is no database ${db}: name it with --db or SANDPIT_DB`);
  const hadLog = hasLogFile(db);
  const store = open(db);
  process.stderr.write(upgradeNotice(store));
  try {
    return await work(store);
  } catch (error) {
    throw withHint(error);
  } finally {
    clearOpenMark(store, hadLog);
    await store.close();
  }
}

/** Returns the error; for what is missing, one that names the command that lists what there is. */
function withHint(error: unknown): unknown {
  if (!(error instanceof StoreError) || error.code !== 'not_found') return error;
  const [, what] = /(API key|template)/.exec(error.message) ?? [];
  const command = what === 'API key' ? 'keys list' : what === 'template' ? 'templates list' : 'users list';
  return new Error(`${error.message}: see sandpit ${command}`, { cause: error });
}

/** Returns a line for each backup that was made before an upgrade of the database. */
export function upgradeNotice({ backups }: Pick<SqliteStore, 'backups'>): string {
  return backups.map((file) => `The database was upgraded; a copy of the old one is in ${file}\n`).join('');
}
