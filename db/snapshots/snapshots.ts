import { engineOf } from '../engine.ts';
import { StoreError } from '../errors.ts';
import type { EventKind } from '../events/kinds.ts';
import { type Actor, recordEvent } from '../events/record.ts';
import { randomDigits } from '../random.ts';
import { getLiveSandbox, requireRunning } from '../sandboxes/read.ts';
import type { SnapshotsTable, SnapshotType } from '../schema.ts';
import type { Db, Trx } from '../store.ts';
import { hasIdOrName, type Snapshot, snapshotOf } from './rows.ts';

/**
 * Records a snapshot of the owner's running sandbox and returns it. With `replace`, it replaces the
 * snapshot of the same name, which keeps its id.
 * Throws StoreError `not_found`, `ended`, `paused`, or `conflict` when the name is taken.
 */
export async function snapshotSandbox(
  trx: Trx,
  now: number,
  by: Actor,
  sandboxId: string,
  { name, replace }: { name: string | null; replace: boolean },
): Promise<Snapshot> {
  const sandbox = await getLiveSandbox(trx, now, by.ownerId, sandboxId);
  requireRunning(sandbox);
  const { templateId, metadata, memoryMb, vcpuCount } = sandbox;
  const taken = { sandboxId, templateId, ociImage: null, metadata, memoryMb, vcpuCount };
  const existing = name !== null && replace ? await findByName(trx, by.ownerId, name) : null;
  if (!existing) return insertSnapshot(trx, now, by, { ...taken, name });
  const replaced = await replaceSnapshot(trx, existing.id, { ...columnsOf(taken), updated_at: now });
  await record(trx, now, by, 'snapshot.updated', replaced);
  return replaced;
}

/**
 * Records a snapshot made from an image and returns it. Throws StoreError `conflict` when the name
 * is taken.
 */
export async function createSnapshot(
  trx: Trx,
  now: number,
  by: Actor,
  given: Pick<Snapshot, 'name' | 'type' | 'memoryMb' | 'vcpuCount'> & { ociImage: string },
): Promise<Snapshot> {
  return insertSnapshot(trx, now, by, { ...given, sandboxId: null, templateId: null, metadata: '{}' });
}

/**
 * Returns the owner's snapshot with this id or name, or null. If two have it, one as id and one as
 * name, the newer.
 */
export async function findSnapshot(db: Db, ownerId: number, idOrName: string): Promise<Snapshot | null> {
  const found = await db
    .selectFrom('snapshots')
    .selectAll()
    .where('owner_id', '=', ownerId)
    .where(hasIdOrName(idOrName))
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  return found ? snapshotOf(found) : null;
}

async function findByName(trx: Trx, ownerId: number, name: string): Promise<{ id: string } | undefined> {
  const named = trx.selectFrom('snapshots').select('id').where('owner_id', '=', ownerId).where('name', '=', name);
  return named.executeTakeFirst();
}

/**
 * Deletes the owner's snapshot with this id or name and returns it. Sandboxes started from it stay.
 * Throws StoreError `not_found`.
 */
export async function deleteSnapshot(trx: Trx, now: number, by: Actor, idOrName: string): Promise<Snapshot> {
  const found = await findSnapshot(trx, by.ownerId, idOrName);
  if (!found) throw new StoreError('not_found', 'Snapshot not found');
  await trx.deleteFrom('snapshots').where('id', '=', found.id).execute();
  await record(trx, now, by, 'snapshot.deleted', found);
  return found;
}

/**
 * If the template is one of the owner's snapshots, counts a sandbox started from it and returns the
 * sandbox's default size; else returns null.
 */
export async function spawnFrom(
  trx: Trx,
  now: number,
  ownerId: number,
  idOrName: string,
): Promise<Pick<Snapshot, 'memoryMb' | 'vcpuCount'> | null> {
  const found = await findSnapshot(trx, ownerId, idOrName);
  if (!found) return null;
  await trx
    .updateTable('snapshots')
    .set((eb) => ({ spawn_count: eb('spawn_count', '+', 1), last_spawned_at: now }))
    .where('id', '=', found.id)
    .execute();
  return found;
}

type Taken = Pick<Snapshot, 'sandboxId' | 'templateId' | 'ociImage' | 'metadata' | 'memoryMb' | 'vcpuCount'>;

function columnsOf({ sandboxId, templateId, ociImage, metadata, memoryMb, vcpuCount }: Taken) {
  return {
    sandbox_id: sandboxId,
    template_id: templateId,
    oci_image: ociImage,
    metadata,
    memory_mb: memoryMb,
    vcpu_count: vcpuCount,
  };
}

async function insertSnapshot(
  trx: Trx,
  now: number,
  by: Actor,
  { name, type = 'user', ...taken }: Taken & { name: string | null; type?: SnapshotType },
): Promise<Snapshot> {
  const values = { ...columnsOf(taken), id: `s${randomDigits()}`, owner_id: by.ownerId, name, type };
  try {
    const row = await trx
      .insertInto('snapshots')
      .values({ ...values, created_at: now, updated_at: now })
      .returningAll()
      .executeTakeFirstOrThrow();
    const snapshot = snapshotOf(row);
    await record(trx, now, by, 'snapshot.created', snapshot);
    return snapshot;
  } catch (error) {
    if (!engineOf(trx).isUniqueViolation(error)) throw error;
    throw new StoreError('conflict', `a snapshot named ${name} exists already`, { cause: error });
  }
}

async function replaceSnapshot(trx: Trx, id: string, values: Partial<SnapshotsTable>): Promise<Snapshot> {
  const update = trx.updateTable('snapshots').set(values as object);
  return snapshotOf(await update.where('id', '=', id).returningAll().executeTakeFirstOrThrow());
}

type SnapshotEventKind = EventKind & `snapshot.${string}`;

async function record(trx: Trx, now: number, by: Actor, kind: SnapshotEventKind, snapshot: Snapshot): Promise<void> {
  const { id, name, sandboxId, templateId, ociImage } = snapshot;
  const details = { name, template_id: templateId, oci_image: ociImage };
  await recordEvent(trx, now, by, { kind, subject: id, sandboxId, details });
}
