import { sql } from 'kysely';
import type { Trx } from '../store.ts';
import type { Store } from './open.ts';

/** Deletes everything that the store holds; ids begin with 1 again. */
export async function emptyStore(trx: Trx, { sqlite }: Pick<Store, 'sqlite'>): Promise<void> {
  const names = sqlite
    .prepare("select name from sqlite_master where type = 'table' and name not in ('migrations', 'sqlite_sequence')")
    .pluck()
    .all() as string[];
  await sql`pragma defer_foreign_keys = on`.execute(trx);
  for (const name of [...names, 'sqlite_sequence']) await sql`delete from ${sql.table(name)}`.execute(trx);
}
