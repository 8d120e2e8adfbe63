import type { Selectable } from 'kysely';
import { StoreError } from './errors.ts';
import type { EventKind } from './event-kinds.ts';
import { type Actor, recordEvent } from './events.ts';
import { randomDigits } from './insert.ts';
import type { Cursor } from './pages.ts';
import { getLiveSandbox, requireRunning } from './sandboxes.ts';
import type { SnapshotsTable } from './schema.ts';
import { type Db, isUniqueViolation, type Trx, write } from './sqlite.ts';

/** A record of what sandboxes can be started from. */
export type Snapshot = {
  id: string;
  name: string | null;
  sandboxId: string | null;
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
};

/**
 * Records a snapshot of the owner's running sandbox and returns it. A snapshot that has the name already is replaced,
 * keeping its id, where `replace` says so.
 * Throws StoreError `not_found`, `ended`, `paused`, or `conflict` when the name is taken.
 */
export async function snapshotSandbox(
  db: Db,
  clock: () => number,
  by: Actor,
  sandboxId: string,
  { name, replace }: { name: string | null; replace: boolean },
): Promise<Snapshot> {
  return write(db, async (trx) => {
    const now = clock();
    const sandbox = await getLiveSandbox(trx, now, by.ownerId, sandboxId);
    requireRunning(sandbox);
    const { templateId, metadata, memoryMb, vcpuCount } = sandbox;
    const taken = { sandboxId, templateId, ociImage: null, metadata, memoryMb, vcpuCount };
    const existing = name !== null && replace ? await findByName(trx, by.ownerId, name) : null;
    if (!existing) return insertSnapshot(trx, now, by, { ...taken, name });
    const replaced = await replaceSnapshot(trx, existing.id, { ...columnsOf(taken), updated_at: now });
    await record(trx, now, by, 'snapshot.updated', replaced);
    return replaced;
  });
}

/** Records a snapshot that is made from an image and returns it. Throws StoreError `conflict` when the name is taken. */
export async function createSnapshot(
  trx: Trx,
  now: number,
  by: Actor,
  { name, ociImage, memoryMb, vcpuCount }: Pick<Snapshot, 'name' | 'memoryMb' | 'vcpuCount'> & { ociImage: string },
): Promise<Snapshot> {
  const taken = { sandboxId: null, templateId: null, ociImage, metadata: '{}', memoryMb, vcpuCount };
  return insertSnapshot(trx, now, by, { ...taken, name });
}

/** Returns the owner's snapshot of this id or name, or null. */
export async function findSnapshot(db: Db, ownerId: number, idOrName: string): Promise<Snapshot | null> {
  const [found] = await listSnapshots(db, ownerId, { idOrName, limit: 1 });
  return found ?? null;
}

async function findByName(trx: Trx, ownerId: number, name: string): Promise<{ id: string } | undefined> {
  const named = trx.selectFrom('snapshots').select('id').where('owner_id', '=', ownerId).where('name', '=', name);
  return named.executeTakeFirst();
}

/** Returns the owner's snapshots, `limit` at most if given, newest first, ties by id. */
export async function listSnapshots(
  db: Db,
  ownerId: number,
  { sandboxId, idOrName, after, limit }: SnapshotQuery,
): Promise<Snapshot[]> {
  const rows = await db
    .selectFrom('snapshots')
    .selectAll()
    .where('owner_id', '=', ownerId)
    .$if(sandboxId !== undefined, (query) => query.where('sandbox_id', '=', sandboxId as string))
    .$if(idOrName !== undefined, (query) =>
      query.where((eb) => eb.or([eb('id', '=', idOrName as string), eb('name', '=', idOrName as string)])),
    )
    .$if(after != null, (query) =>
      query.where((eb) => {
        const { startedAt, id } = after as Cursor;
        return eb.or([eb('created_at', '<', startedAt), eb.and([eb('created_at', '=', startedAt), eb('id', '>', id)])]);
      }),
    )
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .$if(limit !== undefined, (query) => query.limit(limit as number))
    .execute();
  return rows.map(snapshotOf);
}

export type SnapshotQuery = {
  sandboxId?: string | undefined;
  idOrName?: string | undefined;
  after?: Cursor | null;
  limit?: number;
};

/** Deletes the owner's snapshot of this id or name, and returns it; sandboxes started from it stay. Throws StoreError `not_found`. */
export async function deleteSnapshot(trx: Trx, now: number, by: Actor, idOrName: string): Promise<Snapshot> {
  const found = await findSnapshot(trx, by.ownerId, idOrName);
  if (!found) throw new StoreError('not_found', 'Snapshot not found');
  await trx.deleteFrom('snapshots').where('id', '=', found.id).execute();
  await record(trx, now, by, 'snapshot.deleted', found);
  return found;
}

/** Notes that a sandbox is started from this template; returns the size that it has if it is one of the owner's snapshots. */
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
  { name, ...taken }: Taken & { name: string | null },
): Promise<Snapshot> {
  const values = { ...columnsOf(taken), id: `s${randomDigits()}`, owner_id: by.ownerId, name };
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
    if (!isUniqueViolation(error)) throw error;
    throw new StoreError('conflict', `a snapshot named ${name} exists already`, { cause: error });
  }
}

async function replaceSnapshot(trx: Trx, id: string, values: Partial<SnapshotsTable>): Promise<Snapshot> {
  const query = trx.updateTable('snapshots').set(values as object);
  return snapshotOf(await query.where('id', '=', id).returningAll().executeTakeFirstOrThrow());
}

type SnapshotEventKind = EventKind & `snapshot.${string}`;

async function record(trx: Trx, now: number, by: Actor, kind: SnapshotEventKind, snapshot: Snapshot): Promise<void> {
  const { id, name, sandboxId, templateId, ociImage } = snapshot;
  const details = { name, template_id: templateId, oci_image: ociImage };
  await recordEvent(trx, now, by, { kind, subject: id, sandboxId, details });
}

function snapshotOf(row: Selectable<SnapshotsTable>): Snapshot {
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
  };
}
