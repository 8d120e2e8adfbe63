import type { Updateable } from 'kysely';
import { engineOf } from '../engine.ts';
import { StoreError } from '../errors.ts';
import type { Actor } from '../events/record.ts';
import { findOrigin } from '../machines/rows.ts';
import { setupColumn } from '../machines/setup.ts';
import { randomUuid } from '../random.ts';
import { getLiveSandbox, requireRunning, type Sandbox } from '../sandboxes/read.ts';
import type { SnapshotsTable, SnapshotType } from '../schema.ts';
import type { Db, Trx } from '../store.ts';
import { withdrawTemplates } from '../templates/withdraw.ts';
import { newSnapshotId, recordOfSnapshot } from './record.ts';
import { heldColumns, isReferredTo, type Snapshot, snapshotOf } from './rows.ts';
import { isTag, keepTagged, release } from './tags.ts';

export type SnapshotRequest = {
  name: string | null;
  replace: boolean;
  /** what a driver holds of it; default: null, for a record only */
  machineRef?: string | null;
};

/**
 * Records a snapshot of the owner's running sandbox and returns it. With `replace`, it replaces the
 * snapshot of the same name, which keeps its id. Other tags of that snapshot keep what it was.
 * Throws StoreError `not_found`, `ended`, `paused`, or `conflict` when the name is taken.
 */
export async function snapshotSandbox(
  trx: Trx,
  now: number,
  by: Actor,
  sandboxId: string,
  wanted: SnapshotRequest,
): Promise<Snapshot> {
  const sandbox = await getLiveSandbox(trx, now, by.ownerId, sandboxId);
  requireRunning(sandbox);
  return recordSnapshot(trx, now, by, sandbox, wanted);
}

/** Records a snapshot of a sandbox, in whatever state that is, as `snapshotSandbox` does. */
export async function recordSnapshot(
  trx: Trx,
  now: number,
  by: Actor,
  { id: sandboxId, templateId, metadata, memoryMb, vcpuCount }: Sandbox,
  { name, replace, machineRef = null }: SnapshotRequest,
): Promise<Snapshot> {
  const setup = (await findOrigin(trx, sandboxId))?.setup ?? null;
  const taken = { sandboxId, templateId, ociImage: null, metadata, memoryMb, vcpuCount, machineRef, setup };
  const existing = name !== null && replace ? await findByName(trx, by.ownerId, name) : null;
  if (name !== null && replace) {
    if (existing) await keepTagged(trx, now, by, { id: existing.id, name });
    else await release(trx, by.ownerId, name);
  }
  if (!existing) return insertSnapshot(trx, now, by, { ...taken, name });
  const values = { ...columnsOf(taken), updated_at: now, build_id: randomUuid() };
  const replaced = await replaceSnapshot(trx, existing.id, values);
  await recordOfSnapshot(trx, now, by, 'snapshot.updated', replaced);
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
  return insertSnapshot(trx, now, by, {
    ...given,
    sandboxId: null,
    templateId: null,
    metadata: '{}',
    machineRef: null,
    setup: null,
  });
}

/**
 * Returns the owner's snapshot with this id, name or tagged name, or null. If several have it, one
 * as id and one as name, the newest.
 */
export async function findSnapshot(db: Db, ownerId: number, reference: string): Promise<Snapshot | null> {
  const found = await db
    .selectFrom('snapshots')
    .selectAll()
    .select(heldColumns)
    .where(isReferredTo(ownerId, reference))
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  return found ? snapshotOf(found) : null;
}

/**
 * Returns the snapshot that a user may start sandboxes from: their own, as `findSnapshot` says, or
 * by its id one that a template publishes; or null.
 */
export async function findStartable(db: Db, userId: number, reference: string): Promise<Snapshot | null> {
  const own = await findSnapshot(db, userId, reference);
  if (own) return own;
  const published = await db
    .selectFrom('snapshots')
    .selectAll()
    .select(heldColumns)
    .where('id', '=', reference)
    .where('id', 'in', (query) => query.selectFrom('templates').select('snapshot_id'))
    .executeTakeFirst();
  return published ? snapshotOf(published) : null;
}

/** Returns the images that snapshots stand for, of all users. */
export async function listSnapshotImages(db: Db): Promise<string[]> {
  const rows = await db
    .selectFrom('snapshots')
    .select('oci_image as image')
    .where('oci_image', 'is not', null)
    .distinct()
    .execute();
  return rows.map(({ image }) => image as string);
}

async function findByName(trx: Trx, ownerId: number, name: string): Promise<{ id: string } | undefined> {
  const named = trx.selectFrom('snapshots').select('id').where('owner_id', '=', ownerId).where('name', '=', name);
  return named.executeTakeFirst();
}

/**
 * Deletes the owner's snapshot with this id or name, and templates that start from it, and returns
 * it. Sandboxes started from it stay.
 * Throws StoreError `not_found`.
 */
export async function deleteSnapshot(trx: Trx, now: number, by: Actor, idOrName: string): Promise<Snapshot> {
  const found = await findSnapshot(trx, by.ownerId, idOrName);
  if (!found) throw new StoreError('not_found', 'Snapshot not found');
  await withdrawTemplates(trx, now, by, found.id);
  await trx.deleteFrom('snapshots').where('id', '=', found.id).execute();
  await recordOfSnapshot(trx, now, by, 'snapshot.deleted', found);
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

type Taken = Pick<
  Snapshot,
  'sandboxId' | 'templateId' | 'ociImage' | 'metadata' | 'memoryMb' | 'vcpuCount' | 'machineRef' | 'setup'
>;

function columnsOf({ sandboxId, templateId, ociImage, metadata, memoryMb, vcpuCount, machineRef, setup }: Taken) {
  return {
    sandbox_id: sandboxId,
    template_id: templateId,
    oci_image: ociImage,
    metadata,
    memory_mb: memoryMb,
    vcpu_count: vcpuCount,
    machine_ref: machineRef,
    setup: setupColumn(setup),
  };
}

async function insertSnapshot(
  trx: Trx,
  now: number,
  by: Actor,
  { name, type = 'user', ...taken }: Taken & { name: string | null; type?: SnapshotType },
): Promise<Snapshot> {
  const own = { id: newSnapshotId(), owner_id: by.ownerId, name, type, build_id: randomUuid() };
  const values = { ...columnsOf(taken), ...own };
  try {
    if (name !== null && (await isTag(trx, by.ownerId, name))) throw nameTaken(name);
    const row = await trx
      .insertInto('snapshots')
      .values({ ...values, created_at: now, updated_at: now })
      .returningAll()
      .returning(heldColumns)
      .executeTakeFirstOrThrow();
    const snapshot = snapshotOf(row);
    await recordOfSnapshot(trx, now, by, 'snapshot.created', snapshot);
    return snapshot;
  } catch (error) {
    if (!engineOf(trx).isUniqueViolation(error)) throw error;
    throw nameTaken(name, error);
  }
}

/** Returns the error for a name that the owner has given to another snapshot. */
export function nameTaken(name: string | null, cause?: unknown): StoreError {
  return new StoreError('conflict', `a snapshot named ${name} exists already`, { cause });
}

async function replaceSnapshot(trx: Trx, id: string, values: Updateable<SnapshotsTable>): Promise<Snapshot> {
  const update = trx.updateTable('snapshots').set(values);
  const row = await update.where('id', '=', id).returningAll().returning(heldColumns).executeTakeFirstOrThrow();
  return snapshotOf(row);
}
