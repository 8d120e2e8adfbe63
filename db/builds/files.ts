import { sql } from 'kysely';
import type { Db, Trx } from '../store.ts';

/** An archive that a user has uploaded, as its template is built. */
export type UploadedFile = { hash: string; templateId: string };

/** Returns the bytes of the owner's file; null if there is none. It counts as used from now on. */
export async function useFile(
  db: Db,
  now: number,
  ownerId: number,
  { hash, templateId }: UploadedFile,
): Promise<number | null> {
  const used = db.updateTable('template_files').set({ used_at: now, template_id: templateId });
  const own = used.where('owner_id', '=', ownerId).where('hash', '=', hash).returning('size_bytes');
  return (await own.executeTakeFirst())?.size_bytes ?? null;
}

/**
 * Records a file, in the place of an earlier one. The owner's files that were not used for the
 * longest give way, so that all together take at most `maxBytes`.
 */
export async function putFile(
  trx: Trx,
  now: number,
  ownerId: number,
  { hash, templateId, sizeBytes, maxBytes }: UploadedFile & { sizeBytes: number; maxBytes: number },
): Promise<void> {
  const values = { size_bytes: sizeBytes, template_id: templateId, used_at: now };
  await trx
    .insertInto('template_files')
    .values({ owner_id: ownerId, hash, ...values })
    .onConflict((conflict) => conflict.columns(['owner_id', 'hash']).doUpdateSet(values))
    .execute();
  await sql`
    delete from template_files where owner_id = ${ownerId} and hash in (
      select hash from (
        select hash, sum(size_bytes) over (order by used_at desc, hash = ${hash} desc, hash) as total
        from template_files where owner_id = ${ownerId}
      ) as newest where total > ${maxBytes}
    )
  `.execute(trx);
}

/** Forgets files that were not used since a time, of all owners. */
export async function forgetUnusedFiles(trx: Trx, before: number): Promise<void> {
  await trx.deleteFrom('template_files').where('used_at', '<', before).execute();
}

/** Returns the hashes of an owner's files. */
export async function fileHashes(db: Db, ownerId: number): Promise<Set<string>> {
  const rows = await db.selectFrom('template_files').select('hash').where('owner_id', '=', ownerId).execute();
  return new Set(rows.map(({ hash }) => hash));
}
