import { StoreError } from '../errors.ts';
import type { Actor } from '../events/record.ts';
import type { Snapshot } from '../snapshots/rows.ts';
import { deleteSnapshot, findSnapshot } from '../snapshots/snapshots.ts';
import type { Trx } from '../store.ts';
import { findNewestBuild } from './read.ts';

/** What was deleted: the snapshot, if there was one, and builds that had not ended. */
export type DeletedTemplate = { snapshot: Snapshot | null; unfinished: string[] };

/**
 * Deletes the owner's template with this id, name or tagged name: its snapshot, as
 * `deleteSnapshot` does, its builds, and the layers and files that it used last. Throws StoreError
 * `not_found`.
 */
export async function deleteTemplate(trx: Trx, now: number, by: Actor, reference: string): Promise<DeletedTemplate> {
  const { ownerId } = by;
  const found = await findSnapshot(trx, ownerId, reference);
  const snapshot = found && (await deleteSnapshot(trx, now, by, found.id));
  const templateId = snapshot?.id ?? (await findNewestBuild(trx, ownerId, reference))?.templateId;
  if (templateId === undefined) throw new StoreError('not_found', 'Snapshot not found');
  return { snapshot, unfinished: await forgetTemplate(trx, ownerId, templateId) };
}

/** Deletes all of a template but its snapshot. Returns the builds that had not ended. */
async function forgetTemplate(trx: Trx, ownerId: number, templateId: string): Promise<string[]> {
  for (const table of ['template_layers', 'template_files'] as const) {
    await trx.deleteFrom(table).where('template_id', '=', templateId).where('owner_id', '=', ownerId).execute();
  }
  const builds = trx.deleteFrom('template_builds').where('template_id', '=', templateId);
  const deleted = await builds.where('owner_id', '=', ownerId).returning(['id', 'status']).execute();
  return deleted.filter(({ status }) => status === 'waiting' || status === 'building').map(({ id }) => id);
}
