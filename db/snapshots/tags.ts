import { sql } from 'kysely';
import type { Actor } from '../events/record.ts';
import type { Db, Trx } from '../store.ts';
import { newSnapshotId, recordOfSnapshot } from './record.ts';
import { buildIdOf, heldColumns, listedColumns, type Snapshot, snapshotOf } from './rows.ts';

/** A reference to a snapshot, with the content that it points to and since when. */
export type Tag = { reference: string; buildId: string; createdAt: number };

/** How many tags are read at a time. */
const pageSize = 250;

/** Lets these references point to the snapshot, whatever they pointed to before. */
export async function assignTags(
  trx: Trx,
  now: number,
  by: Actor,
  snapshot: Snapshot,
  references: string[],
): Promise<void> {
  const added = references.filter((reference) => reference !== snapshot.name && reference !== snapshot.id);
  const changed = new Set<string>();
  for (const reference of added) {
    for (const id of await release(trx, by.ownerId, reference)) changed.add(id);
    await trx
      .insertInto('snapshot_tags')
      .values({ owner_id: by.ownerId, reference, snapshot_id: snapshot.id, created_at: now })
      .execute();
  }
  if (added.length > 0) changed.add(snapshot.id);
  await recordChanges(trx, now, by, changed);
}

/** Takes these references from the snapshots that have them. */
export async function removeTags(trx: Trx, now: number, by: Actor, references: string[]): Promise<void> {
  const changed = new Set<string>();
  for (const reference of references) {
    for (const id of await release(trx, by.ownerId, reference)) changed.add(id);
  }
  await recordChanges(trx, now, by, changed);
}

async function recordChanges(trx: Trx, now: number, by: Actor, ids: Set<string>): Promise<void> {
  for (const id of ids) {
    const columns = trx.selectFrom('snapshots').select(listedColumns).select(heldColumns);
    const row = await columns.where('id', '=', id).executeTakeFirst();
    if (!row) continue;
    await recordOfSnapshot(trx, now, by, 'snapshot.updated', snapshotOf({ ...row, metadata: null }), {
      changed: ['tags'],
    });
  }
}

/**
 * Takes a reference from the snapshot that has it, as its name or as a tag. Returns the snapshot's
 * id, or nothing. A snapshot whose name is taken keeps a tag as its name.
 */
export async function release(trx: Trx, ownerId: number, reference: string): Promise<string[]> {
  const tagged = await trx
    .deleteFrom('snapshot_tags')
    .where('owner_id', '=', ownerId)
    .where('reference', '=', reference)
    .returning('snapshot_id as id')
    .execute();
  const named = await trx
    .updateTable('snapshots')
    .set({ name: sql`(select min(reference) from snapshot_tags where snapshot_id = snapshots.id)` })
    .where('owner_id', '=', ownerId)
    .where('name', '=', reference)
    .returning('id')
    .execute();
  return [...tagged, ...named].map(({ id }) => id);
}

/** Returns whether a tag made the reference. */
export async function isTag(db: Db, ownerId: number, reference: string): Promise<boolean> {
  const tag = db.selectFrom('snapshot_tags').select('reference').where('owner_id', '=', ownerId);
  return (await tag.where('reference', '=', reference).executeTakeFirst()) !== undefined;
}

/**
 * Prepares a snapshot for being replaced under its name: a copy of it takes over its other tags, so
 * that they keep their meaning.
 */
export async function keepTagged(
  trx: Trx,
  now: number,
  by: Actor,
  { id, name }: { id: string; name: string },
): Promise<void> {
  await trx.deleteFrom('snapshot_tags').where('owner_id', '=', by.ownerId).where('reference', '=', name).execute();
  const tags = trx.selectFrom('snapshot_tags').select('reference').where('snapshot_id', '=', id);
  const first = await tags.orderBy('reference').limit(1).executeTakeFirst();
  if (!first) return;
  const row = await trx.selectFrom('snapshots').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  const own = { id: newSnapshotId(), name: first.reference, build_id: buildIdOf(row) };
  const values = { ...row, ...own, spawn_count: 0, last_spawned_at: null };
  const inserted = trx.insertInto('snapshots').values(values).returningAll().returning(heldColumns);
  const copy = await inserted.executeTakeFirstOrThrow();
  await trx.updateTable('snapshot_tags').set({ snapshot_id: copy.id }).where('snapshot_id', '=', id).execute();
  await recordOfSnapshot(trx, now, by, 'snapshot.created', snapshotOf(copy));
}

/** Returns the tag that a reference is: a snapshot's name or id, or made by a tag; else null. */
export async function findTag(db: Db, ownerId: number, reference: string): Promise<Tag | null> {
  const [tag] = await tagsBetween(db, ownerId, { from: reference, to: reference });
  if (tag) return tag;
  const withId = db.selectFrom('snapshots').select(['id', 'build_id', 'updated_at']).where('owner_id', '=', ownerId);
  const row = await withId.where('id', '=', reference).executeTakeFirst();
  return row ? { reference, buildId: buildIdOf(row), createdAt: row.updated_at } : null;
}

/** Yields the owner's references `<base>` and `<base>:<tag>`: the former first, then by tag. */
export async function* tagsOf(db: Db, ownerId: number, base: string): AsyncGenerator<Tag> {
  const untagged = await findTag(db, ownerId, base);
  if (untagged) yield untagged;
  const end = { to: `${base};` };
  for (let from = `${base}:`; ; ) {
    const page = await tagsBetween(db, ownerId, { from, ...end });
    yield* page.filter(({ reference }) => reference !== from);
    if (page.length < pageSize) return;
    from = page.at(-1)?.reference as string;
  }
}

/** A name counts as a tag since its snapshot was last replaced. */
async function tagsBetween(db: Db, ownerId: number, { from, to }: { from: string; to: string }): Promise<Tag[]> {
  const { rows } = await sql<Omit<Tag, 'buildId'> & { id: string; build_id: string | null }>`
    select tag.reference, tag.since as createdAt, snapshots.id, snapshots.build_id
    from (
      select reference, snapshot_id, created_at as since from snapshot_tags
      where owner_id = ${ownerId} and reference between ${from} and ${to}
      union all
      select name, id, updated_at from snapshots as named
      where owner_id = ${ownerId} and name between ${from} and ${to} and not exists (
        select 1 from snapshot_tags where owner_id = named.owner_id and reference = named.name
      )
      order by 1 limit ${pageSize}
    ) as tag
    join snapshots on snapshots.id = tag.snapshot_id
    order by tag.reference
  `.execute(db);
  return rows.map((row) => ({ reference: row.reference, createdAt: row.createdAt, buildId: buildIdOf(row) }));
}
