import type { Actor } from '../events/record.ts';
import { type Setup, setupColumn } from '../machines/setup.ts';
import type { SnapshotType } from '../schema.ts';
import type { Trx } from '../store.ts';
import { newSnapshotId, recordOfSnapshot } from './record.ts';
import { heldColumns, type Snapshot, snapshotOf } from './rows.ts';
import { keepTagged, release } from './tags.ts';

/** What a build has made. */
export type Built = {
  /** the build */
  id: string;
  /** the id of the snapshot, if there is none of this name and no other has it */
  templateId: string;
  name: string;
  /** null: a template, whose snapshot is the user's own */
  snapshotType: SnapshotType | null;
  vcpuCount: number;
  memoryMb: number;
  machineRef: string;
  setup: Setup;
};

/**
 * Records what a build has made as the snapshot with this name, and returns it. It replaces the
 * snapshot of that name, which keeps its id. Other tags of that snapshot keep what it was.
 */
export async function putBuilt(trx: Trx, now: number, by: Actor, built: Built): Promise<Snapshot> {
  const { ownerId } = by;
  const named = trx.selectFrom('snapshots').select('id').where('owner_id', '=', ownerId);
  const existing = await named.where('name', '=', built.name).executeTakeFirst();
  if (!existing) return insert(trx, now, by, built);
  await keepTagged(trx, now, by, { id: existing.id, name: built.name });
  const update = trx.updateTable('snapshots').set({ ...columnsOf(built), updated_at: now });
  const row = await update
    .where('id', '=', existing.id)
    .returningAll()
    .returning(heldColumns)
    .executeTakeFirstOrThrow();
  const snapshot = snapshotOf(row);
  await recordOfSnapshot(trx, now, by, 'snapshot.updated', snapshot);
  return snapshot;
}

async function insert(trx: Trx, now: number, by: Actor, built: Built): Promise<Snapshot> {
  const { ownerId } = by;
  await release(trx, ownerId, built.name);
  const taken = await trx.selectFrom('snapshots').select('id').where('id', '=', built.templateId).executeTakeFirst();
  const id = taken ? newSnapshotId() : built.templateId;
  const values = { ...columnsOf(built), id, owner_id: ownerId, name: built.name, created_at: now, updated_at: now };
  const inserted = trx.insertInto('snapshots').values(values).returningAll().returning(heldColumns);
  const snapshot = snapshotOf(await inserted.executeTakeFirstOrThrow());
  await recordOfSnapshot(trx, now, by, 'snapshot.created', snapshot);
  return snapshot;
}

function columnsOf({ id, snapshotType, vcpuCount, memoryMb, machineRef, setup }: Built) {
  return {
    build_id: id,
    type: snapshotType ?? 'user',
    memory_mb: memoryMb,
    vcpu_count: vcpuCount,
    machine_ref: machineRef,
    setup: setupColumn(setup),
    sandbox_id: null,
    template_id: null,
    oci_image: null,
    metadata: '{}',
  };
}
