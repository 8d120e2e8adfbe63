import { hash } from 'node:crypto';
import { type Selectable, sql } from 'kysely';
import { type Setup, setupOf } from '../machines/setup.ts';
import type { SnapshotsTable, SnapshotType } from '../schema.ts';

/** A record that sandboxes can be started from. */
export type Snapshot = {
  id: string;
  name: string | null;
  /** the sandbox that it was taken of; null when it was made from an image */
  sandboxId: string | null;
  /** the template that this sandbox was started from */
  templateId: string | null;
  ociImage: string | null;
  /** JSON text */
  metadata: string;
  memoryMb: number;
  vcpuCount: number;
  createdAt: number;
  updatedAt: number;
  spawnCount: number;
  lastSpawnedAt: number | null;
  type: SnapshotType;
  /** a UUID that changes when a later snapshot replaces it */
  buildId: string;
  /** what a driver holds of it; null: a record only */
  machineRef: string | null;
  /** whether that includes memory and processes; null: a record only */
  hasMemory: boolean | null;
  /** the disk that it takes; null: a record only */
  sizeBytes: number | null;
  /** how many builds have made or replaced it */
  buildCount: number;
  /** what it lays down for machines; null: nothing */
  setup: Setup | null;
};

/** All columns but the metadata, which a list may not read. */
export const listedColumns = [
  'id',
  'name',
  'sandbox_id',
  'template_id',
  'oci_image',
  'memory_mb',
  'vcpu_count',
  'created_at',
  'updated_at',
  'spawn_count',
  'last_spawned_at',
  'type',
  'build_id',
  'machine_ref',
  'setup',
] as const;

/** What a driver holds of a snapshot, and how often it was built. */
export const heldColumns = [
  sql<0 | 1 | null>`(select has_memory from machine_snapshots where ref = snapshots.machine_ref)`.as('has_memory'),
  sql<number | null>`(select size_bytes from machine_snapshots where ref = snapshots.machine_ref)`.as('size_bytes'),
  sql<number>`(
    select count(*) from template_builds where template_id = snapshots.id and status = 'ready'
  )`.as('build_count'),
] as const;

type ListedColumns = Pick<Selectable<SnapshotsTable>, (typeof listedColumns)[number]> & {
  has_memory: 0 | 1 | null;
  size_bytes: number | null;
  build_count: number;
};

/** Returns the snapshot of a row. */
export function snapshotOf<Metadata extends string | null>(row: ListedColumns & { metadata: Metadata }) {
  return {
    id: row.id,
    name: row.name,
    sandboxId: row.sandbox_id,
    templateId: row.template_id,
    ociImage: row.oci_image,
    metadata: row.metadata,
    memoryMb: row.memory_mb,
    vcpuCount: row.vcpu_count,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    spawnCount: row.spawn_count,
    lastSpawnedAt: row.last_spawned_at,
    type: row.type,
    buildId: buildIdOf(row),
    machineRef: row.machine_ref,
    hasMemory: row.has_memory === null ? null : row.has_memory === 1,
    sizeBytes: row.size_bytes,
    buildCount: row.build_count,
    setup: setupOf(row.setup),
  };
}

/** Returns the UUID of a snapshot's content. An old snapshot has none: one is made of its id. */
export function buildIdOf({ id, build_id }: Pick<SnapshotsTable, 'id' | 'build_id'>): string {
  return build_id ?? hash('sha256', id).replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*$/, '$1-$2-8$3-8$4-$5');
}

/**
 * A condition on `snapshots`: it is the owner's, and this is its id, its name or a reference that a
 * tag made. At most three snapshots meet it. The plus keeps SQLite from reading all of the owner's
 * in the order that a query asks for.
 */
export function isReferredTo(ownerId: number, reference: string) {
  return sql<boolean>`(+owner_id = ${ownerId} and id in (
    select +id from snapshots where id = ${reference}
    union all select id from snapshots where owner_id = ${ownerId} and name = ${reference}
    union all select snapshot_id from snapshot_tags where owner_id = ${ownerId} and reference = ${reference}
  ))`;
}
