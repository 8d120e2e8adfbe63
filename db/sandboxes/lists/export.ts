import { sql } from 'kysely';
import type { Db } from '../../store.ts';
import { furtherColumns, listedColumns, type Sandbox, textColumns } from '../read.ts';

/** The number of sandboxes that one step reads. */
const pageSize = 100;

export type ExportedSandbox = Sandbox & { owner: string; env: string | null };

/**
 * Yields all owners' sandboxes, oldest first, each in the state in which it is read. Sandboxes
 * created or deleted after the start are left out. It stores the order first and then reads a page
 * at a time: one long read would keep SQLite from truncating the write-ahead log, which would grow
 * for as long as the consumer takes.
 */
export async function* exportSandboxes(db: Db, now: () => number): AsyncGenerator<ExportedSandbox> {
  await sql`drop table if exists temp.exported`.execute(db);
  await sql`create temp table exported as select id from sandboxes order by started_at, id`.execute(db);
  const { rows } = await sql<{ count: number }>`select count(*) as count from temp.exported`.execute(db);
  const count = rows[0]?.count ?? 0;
  for (let after = 0; after < count; after += pageSize) yield* await readPage(db, now(), after);
  await sql`drop table temp.exported`.execute(db);
}

function readPage(db: Db, now: number, after: number): Promise<ExportedSandbox[]> {
  return db
    .selectFrom(sql<{ rowid: number; id: string }>`temp.exported`.as('exported'))
    .innerJoin('sandboxes', 'sandboxes.id', 'exported.id')
    .innerJoin('users', 'users.id', 'sandboxes.owner_id')
    .select(listedColumns(now))
    .select(furtherColumns)
    .select(textColumns)
    .select(['sandboxes.env', 'users.name as owner'])
    .where('exported.rowid', '>', after)
    .where('exported.rowid', '<=', after + pageSize)
    .orderBy('exported.rowid')
    .execute();
}
