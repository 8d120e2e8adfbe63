import { statSync } from 'node:fs';
import { maxIdleWalBytes } from './driver/connection.ts';
import type { Store } from './open.ts';

/** Returns the size of the write-ahead log's file; 0 for a database in memory. */
export function walBytes({ sqlite }: Pick<Store, 'sqlite'>): number {
  return statSync(`${sqlite.name}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}

/**
 * Empties the write-ahead log where it is larger than it is kept, by writing all of it to the database first. Returns
 * whether it is small now: while another process reads an earlier state, or writes, it has to stay.
 */
export async function shrinkWal({ db, sqlite }: Pick<Store, 'db' | 'sqlite'>): Promise<boolean> {
  if (walBytes({ sqlite }) <= maxIdleWalBytes) return true;
  // SQLite does this outside of transactions only: while we have the connection there is none.
  await db.connection().execute(async () => sqlite.pragma('wal_checkpoint(truncate)'));
  return walBytes({ sqlite }) <= maxIdleWalBytes;
}
