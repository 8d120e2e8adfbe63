import type { Database } from 'better-sqlite3';
import { Kysely } from 'kysely';
import { migrate } from './migrate.ts';
import { installMembers } from './pairs.ts';
import type { Tables } from './schema.ts';
import { configure, type Db, ImmediateDialect, openSqlite } from './sqlite.ts';

export type Store = {
  db: Db;
  sqlite: Database;
  close: () => Promise<void>;
};

/**
 * Returns the store in `file` (`:memory:` for one that lives as long as the process), migrated to this version.
 * Throws StoreError `unusable` when the file can't be one.
 */
export function openStore(file: string): Store {
  const sqlite = openSqlite(file);
  try {
    migrate(sqlite);
    configure(sqlite);
    installMembers(sqlite);
  } catch (error) {
    sqlite.close();
    throw error;
  }
  const db = new Kysely<Tables>({ dialect: new ImmediateDialect(sqlite) });
  return { db, sqlite, close: () => db.destroy() };
}
