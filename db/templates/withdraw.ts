import { type Actor, recordEvent } from '../events/record.ts';
import type { Trx } from '../store.ts';

/** Deletes the templates that start from a snapshot, which is about to be deleted. */
export async function withdrawTemplates(trx: Trx, now: number, by: Actor, snapshotId: string): Promise<void> {
  const deleted = await trx
    .deleteFrom('templates')
    .where('snapshot_id', '=', snapshotId)
    .returning(['slug', 'version'])
    .execute();
  for (const { slug, version } of deleted) {
    const details = { version, snapshot_id: snapshotId };
    await recordEvent(trx, now, by, { kind: 'template.deleted', subject: slug, sandboxId: null, details });
  }
}
