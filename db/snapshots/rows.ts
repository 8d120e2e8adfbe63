import { type Selectable, sql } from 'kysely';
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
] as const;

type ListedColumns = Pick<Selectable<SnapshotsTable>, (typeof listedColumns)[number]>;

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
  };
}

export function hasIdOrName(idOrName: string) {
  return sql<boolean>`(id = ${idOrName} or name = ${idOrName})`;
}
