import { existsSync } from 'node:fs';
import type { Database } from 'better-sqlite3';
import { StoreError } from '../../errors.ts';
import { createPrivate, partialName, putInPlace, removeDatabase } from '../copies/files.ts';
import { connect } from '../driver/connection.ts';
import { reasonOf } from '../driver/failures.ts';
import { markClosed } from '../open-mark.ts';
import { init } from './001-init.ts';
import { lifecycle } from './002-lifecycle.ts';
import { retention } from './003-retention.ts';
import { events } from './004-events.ts';
import { webhooks } from './005-webhooks.ts';
import { webhookPatterns } from './006-webhook-patterns.ts';
import { webhookRetention } from './007-webhook-retention.ts';
import { keyLimits } from './008-key-limits.ts';
import { webhookOutbox } from './009-webhook-outbox.ts';
import { living } from './010-living.ts';
import { deliveryPages } from './011-delivery-pages.ts';
import { idempotencyKeys } from './012-idempotency-keys.ts';
import { proxySecrets } from './013-proxy-secrets.ts';
import { sessions } from './014-sessions.ts';
import { account } from './015-account.ts';
import { eventFilters } from './016-event-filters.ts';
import { snapshotTags } from './017-snapshot-tags.ts';
import { templates } from './018-templates.ts';
import { machines } from './019-machines.ts';
import { machineStates } from './020-machine-states.ts';
import { diedEvents } from './021-died-events.ts';
import { builds } from './022-builds.ts';
import { templateSetups } from './023-template-setups.ts';
import { executions } from './024-executions.ts';
import { shares } from './025-shares.ts';
import { snapshotBuilds } from './026-snapshot-builds.ts';
import { newestLast } from './027-newest-last.ts';

export type Migration = {
  id: number;
  name: string;
  sql: string;
  /** does what SQL can't, after the SQL and in the same transaction */
  apply?: (sqlite: Database) => void;
  /** whether it changes existing rows, so that a mistake in it could lose data */
  rewrites?: boolean;
};

/** In order. An id is never reused, and a released migration never changes. */
export const migrations: Migration[] = [
  init,
  lifecycle,
  retention,
  events,
  webhooks,
  webhookPatterns,
  webhookRetention,
  keyLimits,
  webhookOutbox,
  living,
  deliveryPages,
  idempotencyKeys,
  proxySecrets,
  sessions,
  account,
  eventFilters,
  snapshotTags,
  templates,
  machines,
  machineStates,
  diedEvents,
  builds,
  templateSetups,
  executions,
  shares,
  snapshotBuilds,
  newestLast,
];

/** "SPIT": SQLite's `application_id`, which distinguishes Sandpit's files from other programs'. */
export const applicationId = 0x53504954;

/**
 * Brings the schema up to this version, each migration in one transaction with its bookkeeping
 * row. Returns the backups that it made, one before each migration that rewrites existing rows.
 * Throws StoreError `unusable`, before writing anything, when the file is another program's
 * database or comes from a newer Sandpit.
 */
export function migrate(sqlite: Database, list = migrations): string[] {
  const backups: string[] = [];
  const applied = knownMigration(sqlite, list);
  // Lets the file shrink later. SQLite accepts it only before the first table.
  if (applied === 0) sqlite.pragma('auto_vacuum = incremental');
  for (const migration of list.filter(({ id }) => id > applied)) {
    sqlite
      .transaction(() => {
        // Another process may have applied it already.
        if (appliedMigration(sqlite) >= migration.id) return;
        if (migration.rewrites && hasRows(sqlite)) backups.push(backUpBefore(sqlite, migration));
        sqlite.pragma(`application_id = ${applicationId}`);
        sqlite.exec(
          'create table if not exists migrations (id integer primary key, name text, applied_at text) strict',
        );
        sqlite.exec(migration.sql);
        migration.apply?.(sqlite);
        sqlite
          .prepare('insert into migrations (id, name, applied_at) values (?, ?, ?)')
          .run(migration.id, migration.name, new Date().toISOString());
      })
      .immediate();
  }
  return backups;
}

/** Returns whether there is data to lose: everything belongs to a user. */
function hasRows(sqlite: Database): boolean {
  return appliedMigration(sqlite) > 0 && sqlite.prepare('select 1 from users limit 1').get() !== undefined;
}

/**
 * Makes a backup and returns its name. It is current, because this connection's lock prevents
 * other writes.
 */
function backUpBefore(sqlite: Database, { id }: Migration): string {
  const file = freeName(`${sqlite.name}.before-${id}`);
  const partial = partialName(file);
  // Uses another connection, because SQLite can't copy a database from within a transaction.
  const reader = connect(sqlite.name, { readonly: true });
  try {
    createPrivate(partial);
    reader.prepare('vacuum into ?').run(partial);
    markComplete(partial);
    putInPlace(partial, file);
    return file;
  } catch (error) {
    removeDatabase(partial);
    const reason = `can't make the backup ${file}, which comes before an upgrade: ${reasonOf(error)}`;
    throw new StoreError('unusable', reason, { cause: error });
  } finally {
    reader.close();
  }
}

function markComplete(file: string): void {
  const copy = connect(file);
  markClosed(copy);
  copy.close();
}

/** Returns a name that is free: the backup of an earlier upgrade must not be replaced. */
function freeName(wanted: string): string {
  let name = wanted;
  for (let count = 2; existsSync(name); count++) name = `${wanted}-${count}`;
  return name;
}

/**
 * Returns the id of the last applied migration; 0 for an empty database.
 * Throws StoreError `unusable` for another program's database or one from a newer Sandpit.
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

/** Returns whether the database has the schema of this version. Throws what SQLite throws. */
export function isMigrated(sqlite: Database): boolean {
  return appliedMigration(sqlite) === migrations.at(-1)?.id;
}

function appliedMigration(sqlite: Database): number {
  const tables = sqlite.prepare('select count(*) from sqlite_master').pluck().get() as number;
  if (tables === 0) return 0;
  if (sqlite.pragma('application_id', { simple: true }) !== applicationId) {
    throw new StoreError('unusable', `${sqlite.name} is another program's database`);
  }
  return (sqlite.prepare('select max(id) from migrations').pluck().get() as number | null) ?? 0;
}
