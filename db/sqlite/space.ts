import { statSync } from 'node:fs';
import type { Database } from 'better-sqlite3';
import { type Db, inTransaction, type StoreSizes } from '../store.ts';
import { maxIdleWalBytes } from './driver/connection.ts';
import { failureOf } from './driver/failures.ts';

/**
 * The part of the file that may stay empty, so that the next sandboxes don't have to grow it
 * again.
 */
const maxFree = 1 / 8;

/** Returns how large the database is, in bytes. */
export function sizesOf(sqlite: Database): StoreSizes {
  const log = walBytes(sqlite);
  const pageSize = count(sqlite, 'page_size');
  return {
    total: count(sqlite, 'page_count') * pageSize + log,
    log,
    free: count(sqlite, 'freelist_count') * pageSize,
  };
}

/**
 * Truncates the file by at most `limit` pages if more than an eighth of it is empty. Returns
 * whether it did, in which case there may be more. Throws StoreError `busy` when another process
 * has the lock.
 */
export async function giveBackSpace(db: Db, sqlite: Database, limit: number): Promise<boolean> {
  const isMostlyUsed = count(sqlite, 'freelist_count') <= count(sqlite, 'page_count') * maxFree;
  if (!canGiveBackSpace(sqlite) || isMostlyUsed) return false;
  // Not through Kysely, which steps the pragma once and would free one page only.
  await inTransaction(db, async () => {
    try {
      sqlite.pragma(`incremental_vacuum(${limit})`);
    } catch (error) {
      throw failureOf(sqlite, error);
    }
  });
  return true;
}

/**
 * Returns whether the file can shrink. A file that an early version created can't until it is
 * rewritten.
 */
export function canGiveBackSpace(sqlite: Database): boolean {
  return count(sqlite, 'auto_vacuum') === 2;
}

/**
 * Moves an oversized write-ahead log into the database and truncates it. Returns whether the log is
 * small afterwards: it can't shrink while another process writes or reads an older snapshot.
 */
export async function shrinkLog(db: Db, sqlite: Database): Promise<boolean> {
  if (walBytes(sqlite) <= maxIdleWalBytes) return true;
  // A checkpoint fails inside a transaction. There is none while this holds the only connection.
  await db.connection().execute(async () => sqlite.pragma('wal_checkpoint(truncate)'));
  return walBytes(sqlite) <= maxIdleWalBytes;
}

/** Returns the size of the write-ahead log's file; 0 for a database in memory. */
function walBytes({ name }: Database): number {
  return statSync(`${name}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}

function count(sqlite: Database, pragma: 'auto_vacuum' | 'freelist_count' | 'page_count' | 'page_size'): number {
  return Number(sqlite.pragma(pragma, { simple: true }));
}
