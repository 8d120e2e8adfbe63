import { sql } from 'kysely';
import { query } from '../prepared.ts';
import type { Cursor } from '../sandboxes/lists/pages.ts';
import type { Db } from '../store.ts';
import { type Build, buildOf } from './builds.ts';

/** Returns the builds of an owner's template, newest first, ties by id, after a cursor. */
export async function listBuilds(
  db: Db,
  ownerId: number,
  templateId: string,
  { after, limit }: { after: Cursor | null; limit: number },
): Promise<Build[]> {
  const rows = await db
    .selectFrom('template_builds')
    .selectAll()
    .where('template_id', '=', templateId)
    .where('owner_id', '=', ownerId)
    .$if(after !== null, (builds) => builds.where(isAfter(after as Cursor)))
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(buildOf);
}

function isAfter({ startedAt, id }: Cursor) {
  return sql<boolean>`(created_at <= ${startedAt} and (created_at < ${startedAt} or id > ${id}))`;
}

/** Returns the newest build of the owner's template with this id or name, or null. */
export async function findNewestBuild(db: Db, ownerId: number, reference: string): Promise<Build | null> {
  const builds = db.selectFrom('template_builds').selectAll().where('owner_id', '=', ownerId);
  const named = builds.where((eb) => eb.or([eb('template_id', '=', reference), eb('name', '=', reference)]));
  const row = await named.orderBy('seq', 'desc').limit(1).executeTakeFirst();
  return row ? buildOf(row) : null;
}

/** Returns the owner of a template that is there or is being built; null for an unknown one. */
export async function findTemplateOwner(db: Db, templateId: string): Promise<number | null> {
  const [found] = await selectOwner(db, { templateId });
  return found?.ownerId ?? null;
}

const selectOwner = query<{ templateId: string }, { ownerId: number }>((db, value) =>
  db
    .selectFrom('template_builds')
    .select('owner_id as ownerId')
    .where('template_id', '=', value('templateId'))
    .unionAll(db.selectFrom('snapshots').select('owner_id as ownerId').where('id', '=', value('templateId')))
    .limit(1),
);
