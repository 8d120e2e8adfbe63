import type { EventKind } from '../events/kinds.ts';
import { type Actor, type Details, recordEvent } from '../events/record.ts';
import { randomDigits } from '../random.ts';
import type { Trx } from '../store.ts';
import type { Snapshot } from './rows.ts';

export function newSnapshotId(): string {
  return `s${randomDigits()}`;
}

/** Records an event about a snapshot, like `recordEvent`. */
export async function recordOfSnapshot(
  trx: Trx,
  now: number,
  by: Actor,
  kind: EventKind & `snapshot.${string}`,
  snapshot: Omit<Snapshot, 'metadata'>,
  more: Details = {},
): Promise<void> {
  const { id, name, sandboxId, templateId, ociImage } = snapshot;
  const details = { name, template_id: templateId, oci_image: ociImage, ...more };
  await recordEvent(trx, now, by, { kind, subject: id, sandboxId, details });
}
