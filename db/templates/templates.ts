import { StoreError } from '../errors.ts';
import { type Actor, recordEvent } from '../events/record.ts';
import type { TemplatesTable } from '../schema.ts';
import type { Snapshot } from '../snapshots/rows.ts';
import { findSnapshot } from '../snapshots/snapshots.ts';
import type { Db, Trx } from '../store.ts';

/** A published template. Everyone may read it, except for its owner and its snapshot. */
export type Template = {
  slug: string;
  name: string;
  version: string;
  audience: string;
  snapshotId: string;
  memoryMb: number;
  vcpuCount: number;
  /** JSON text of an object: what clients read and no rule does */
  details: string;
};

/** A template of the list. */
export type ListedTemplate = Pick<Template, 'slug' | 'name' | 'version' | 'audience'>;

export const maxTemplatesPerOwner = 100;

/**
 * Publishes a template, or replaces the owner's template with this slug, and returns it.
 * Throws StoreError `refused` when another user has the slug, the owner does not have the snapshot,
 * or has as many templates as a user may, or when no machine of this size can start from it.
 */
export async function publishTemplate(trx: Trx, now: number, by: Actor, given: Template): Promise<Template> {
  const { ownerId } = by;
  const snapshot = await findSnapshot(trx, ownerId, given.snapshotId);
  if (!snapshot) {
    const reason = `You have no snapshot '${given.snapshotId}' for this template: create it with POST /v1/snapshots first`;
    throw new StoreError('refused', reason);
  }
  requireSize(snapshot, given);
  await requireRoom(trx, ownerId, given.slug);
  const template = { ...given, snapshotId: snapshot.id };
  const { slug, ...columns } = columnsOf(template);
  await trx
    .insertInto('templates')
    .values({ slug, ...columns, owner_id: ownerId, created_at: now, updated_at: now })
    .onConflict((conflict) => conflict.column('slug').doUpdateSet({ ...columns, updated_at: now }))
    .execute();
  const details = { version: template.version, snapshot_id: template.snapshotId };
  await recordEvent(trx, now, by, { kind: 'template.published', subject: slug, sandboxId: null, details });
  return template;
}

/** What is in the memory of a machine has the size that it has. */
function requireSize({ hasMemory, memoryMb, vcpuCount }: Snapshot, given: Template): void {
  if (!hasMemory || (given.memoryMb === memoryMb && given.vcpuCount === vcpuCount)) return;
  const reason = `The snapshot holds the memory of a machine with ${memoryMb} MB and ${vcpuCount} virtual CPUs: vm must ask for the same`;
  throw new StoreError('refused', reason);
}

async function requireRoom(trx: Trx, ownerId: number, slug: string): Promise<void> {
  const taken = await trx
    .selectFrom('templates')
    .select('owner_id as ownerId')
    .where('slug', '=', slug)
    .executeTakeFirst();
  if (taken?.ownerId === ownerId) return;
  if (taken) {
    throw new StoreError('refused', `Another user has published a template '${slug}': choose another slug`);
  }
  const { count } = await trx
    .selectFrom('templates')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('owner_id', '=', ownerId)
    .executeTakeFirstOrThrow();
  if (count < maxTemplatesPerOwner) return;
  const reason = `You have ${maxTemplatesPerOwner} templates, as many as a user may: delete the snapshot of one first`;
  throw new StoreError('refused', reason);
}

/** Returns the template with this slug, of any user, or null. */
export async function findTemplate(db: Db, slug: string): Promise<Template | null> {
  const row = await db.selectFrom('templates').selectAll().where('slug', '=', slug).executeTakeFirst();
  if (!row) return null;
  const { name, version, audience, details } = row;
  const size = { memoryMb: row.memory_mb, vcpuCount: row.vcpu_count };
  return { slug, name, version, audience, details, snapshotId: row.snapshot_id, ...size };
}

/** Returns the templates of all users by slug: at most `limit`, those after a slug. */
export async function listTemplates(db: Db, limit: number, after: string | undefined): Promise<ListedTemplate[]> {
  return db
    .selectFrom('templates')
    .select(['slug', 'name', 'version', 'audience'])
    .$if(after !== undefined, (query) => query.where('slug', '>', after as string))
    .orderBy('slug')
    .limit(limit)
    .execute();
}

function columnsOf(template: Template): Omit<TemplatesTable, 'owner_id' | 'created_at' | 'updated_at'> {
  const { snapshotId, memoryMb, vcpuCount, ...same } = template;
  return { ...same, snapshot_id: snapshotId, memory_mb: memoryMb, vcpu_count: vcpuCount };
}
