import { sql } from 'kysely';
import type { Trx } from '../store.ts';

/** Deletes everything in the store; ids start at 1 again. */
export async function emptyStore(trx: Trx): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select name from sqlite_master where type = 'table' and name not in ('migrations', 'sqlite_sequence')
  `.execute(trx);
  await sql`pragma defer_foreign_keys = on`.execute(trx);
  try {
    for (const { name } of [...rows, { name: 'sqlite_sequence' }]) {
      await sql`delete from ${sql.table(name)}`.execute(trx);
    }
  } finally {
    // Other changes of the same transaction are checked one by one.
    await sql`pragma defer_foreign_keys = off`.execute(trx);
  }
}
