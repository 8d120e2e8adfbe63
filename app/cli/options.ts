import { existsSync } from 'node:fs';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { StoreError } from '../../db/errors.ts';
import { clearOpenMark, openStore, type SqliteStore } from '../../db/sqlite/open.ts';
import { hasLogFile } from '../../db/sqlite/open-mark.ts';
import { readConfig } from '../config/config.ts';
import { type Config, settings } from '../config/settings.ts';

/** Gives the command a flag for each of the named settings. */
export function addSettings(command: Command, names: (keyof Config)[]): Command {
  for (const name of names) {
    const { flag, argument, help, variable, fallback } = settings[name];
    const preset = fallback === undefined ? '' : `, default ${fallback}`;
    const usage = argument === 'boolean' ? `--${flag} [true|false]` : `--${flag} <${argument}>`;
    command.addOption(new Option(usage, `${help} (${variable}${preset})`));
  }
  return command;
}

/** Has commander name the flag whose value `read` throws an Error for; its message says what the value must be. */
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
 * Runs `work` with the store that the command's flags and the environment name, and closes it.
 * Throws an Error where there is none, unless it may be made.
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

/** Returns the error; of a user or key that is not there, one that says where to look. */
function withHint(error: unknown): unknown {
  if (!(error instanceof StoreError) || error.code !== 'not_found') return error;
  const command = error.message.includes('API key') ? 'keys list' : 'users list';
  return new Error(`${error.message}: see sandpit ${command}`, { cause: error });
}

/** Returns what to say of an opened store: where the copies are that were made before it was upgraded. */
export function upgradeNotice({ backups }: Pick<SqliteStore, 'backups'>): string {
  return backups.map((file) => `The database was upgraded; as it was before, it is in ${file}\n`).join('');
}
