import { sql } from 'kysely';
import { StoreError } from '../../errors.ts';
import { inTransaction } from '../../store.ts';
import { isBusy } from '../driver/failures.ts';
import { reorder } from '../index/reindex.ts';
import type { SqliteStore } from '../open.ts';
import { canGiveBackSpace } from '../space.ts';
import { type CheckName, expectedSchema, type Finding } from './doctor.ts';

/**
 * Rebuilds what can be derived from other data, each in one transaction, and returns what it did.
 * Other processes' writes wait for it. Throws StoreError `busy` when another process keeps the
 * write lock.
 */
export async function repair(store: SqliteStore, findings: Finding[]): Promise<string[]> {
  const wrong = new Set(findings.filter(({ problems }) => problems.length > 0).map(({ check }) => check));
  const needs = (...checks: CheckName[]) => checks.some((check) => wrong.has(check));
  const done: string[] = [];
  if (needs('schema')) done.push(...(await addMissingIndexes(store)));
  if (needs('integrity')) done.push(await rebuildIndexes(store));
  if (needs('ordinals', 'metadata index')) done.push(await rebuildMetadataIndex(store));
  if (!needs('integrity') && !canGiveBackSpace(store.sqlite)) done.push(rewriteFile(store));
  return done;
}

async function addMissingIndexes(store: SqliteStore): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`select 'index ' || name as name from sqlite_schema`.execute(store.db);
  const there = new Set(rows.map(({ name }) => name));
  const missing = [...expectedSchema(store)].filter(([name]) => name.startsWith('index ') && !there.has(name));
  for (const [, text] of missing) await inTransaction(store.db, (trx) => sql.raw(text).execute(trx));
  return missing.map(([name]) => `added the ${name}`);
}

async function rebuildIndexes({ db }: SqliteStore): Promise<string> {
  await inTransaction(db, (trx) => sql`reindex`.execute(trx));
  return "rebuilt SQLite's indexes";
}

/** Clears the whole table, not each owner's part: entries without a sandbox belong to no owner. */
async function rebuildMetadataIndex({ db }: SqliteStore): Promise<string> {
  await inTransaction(db, async (trx) => {
    await trx.deleteFrom('sandbox_metadata').execute();
    for (const { id } of await trx.selectFrom('users').select('id').execute()) await reorder(trx, id);
  });
  return 'put the sandboxes in order and rebuilt the metadata index';
}

function rewriteFile({ sqlite }: SqliteStore): string {
  try {
    sqlite.pragma('auto_vacuum = incremental');
    // The copy does not fit into memory.
    sqlite.pragma('temp_store = file');
    sqlite.exec('vacuum');
    return 'rewrote the file: it shrinks by itself from now on';
  } catch (error) {
    if (isBusy(error)) throw new StoreError('busy', 'the database is busy with another process', { cause: error });
    throw error;
  }
}
