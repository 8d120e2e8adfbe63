import type { Database } from 'better-sqlite3';
import { StoreError } from './errors.ts';
import { init } from './migrations/001-init.ts';
import { lifecycle } from './migrations/002-lifecycle.ts';

/** In order; an id is never reused and a migration never changes once released. */
export const migrations = [init, lifecycle];

/** "SPIT": marks a SQLite file as Sandpit's, so that no other program's file is taken for one. */
export const applicationId = 0x53504954;

/**
 * Brings the schema up to this version, each migration atomically with its bookkeeping row.
 * Throws StoreError `unusable`, without having written anything, when the file is another program's database or
 * comes from a newer Sandpit.
 */
export function migrate(sqlite: Database, list = migrations): void {
  const applied = knownMigration(sqlite, list);
  for (const migration of list.filter(({ id }) => id > applied)) {
    sqlite
      .transaction(() => {
        // Another process may have been faster.
        if (appliedMigration(sqlite) >= migration.id) return;
        sqlite.pragma(`application_id = ${applicationId}`);
        sqlite.exec(
          'create table if not exists migrations (id integer primary key, name text, applied_at text) strict',
        );
        sqlite.exec(migration.sql);
        sqlite
          .prepare('insert into migrations (id, name, applied_at) values (?, ?, ?)')
          .run(migration.id, migration.name, new Date().toISOString());
      })
      .immediate();
  }
}

/**
 * Returns the id of the last migration that was applied, 0 for an empty database.
 * Throws StoreError `unusable` when it is another program's database or comes from a newer Sandpit.
 */
export function knownMigration(sqlite: Database, list = migrations): number {
  const applied = appliedMigration(sqlite);
  const newest = list.at(-1)?.id ?? 0;
  if (applied <= newest) return applied;
  throw new StoreError(
    'unusable',
    `${sqlite.name} comes from a newer Sandpit (schema ${applied}, this one knows ${newest}): run that version`,
  );
}

function appliedMigration(sqlite: Database): number {
  const tables = sqlite.prepare('select count(*) from sqlite_master').pluck().get() as number;
  if (tables === 0) return 0;
  if (sqlite.pragma('application_id', { simple: true }) !== applicationId) {
    throw new StoreError('unusable', `${sqlite.name} is another program's database`);
  }
  return (sqlite.prepare('select max(id) from migrations').pluck().get() as number | null) ?? 0;
}
