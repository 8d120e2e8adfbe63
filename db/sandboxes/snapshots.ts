import { type Selectable, sql } from 'kysely';
import { engineOf } from '../engine.ts';
import { StoreError } from '../errors.ts';
import type { EventKind } from '../events/kinds.ts';
import { type Actor, recordEvent } from '../events/record.ts';
import { query } from '../prepared.ts';
import { randomDigits } from '../random.ts';
import type { SnapshotsTable } from '../schema.ts';
import type { Db, Trx } from '../store.ts';
import type { Cursor } from './pages.ts';
import { getLiveSandbox, requireRunning } from './read.ts';
import { smallText, type Unread } from './texts.ts';

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

/** Returns the owner's snapshot of this id or name, or null: of two, one's id and another's name, the newer. */
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

function hasIdOrName(idOrName: string) {
  return sql<boolean>`(id = ${idOrName} or name = ${idOrName})`;
}

async function findByName(trx: Trx, ownerId: number, name: string): Promise<{ id: string } | undefined> {
  const named = trx.selectFrom('snapshots').select('id').where('owner_id', '=', ownerId).where('name', '=', name);
  return named.executeTakeFirst();
}

/** A snapshot of a list, whose metadata may not have been read. */
export type ListedSnapshot = Omit<Snapshot, 'metadata'> & Unread;

export type SnapshotQuery = {
  sandboxId?: string | undefined;
  idOrName?: string | undefined;
  after?: Cursor | null;
  limit: number;
};

/** Returns the owner's snapshots, newest first, ties by id. */
export async function listSnapshots(
  db: Db,
  ownerId: number,
  { sandboxId, idOrName, after, limit }: SnapshotQuery,
): Promise<ListedSnapshot[]> {
  const rows = await db
    .selectFrom('snapshots')
    .select(listedColumns)
    .select(smallText('metadata', ['metadata']))
    .where('owner_id', '=', ownerId)
    .$if(sandboxId !== undefined, (query) => query.where('sandbox_id', '=', sandboxId as string))
    .$if(idOrName !== undefined, (query) => query.where(hasIdOrName(idOrName as string)))
    .$if(after != null, (query) => query.where(isBehind(after as Cursor, idOrName !== undefined)))
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(snapshotOf);
}

/**
 * A range of the index: what lies before the cursor costs nothing. Of those with a name there are two at most: the plus
 * keeps SQLite from going through the index for them.
 */
function isBehind({ startedAt, id }: Cursor, isNamed: boolean) {
  const createdAt = isNamed ? sql`+created_at` : sql.ref('created_at');
  return sql<boolean>`(${createdAt} <= ${startedAt} and (${createdAt} < ${startedAt} or id > ${id}))`;
}

/** Yields the snapshots of a list whole, one after another. Those that were deleted meanwhile are left out. */
export async function* wholeSnapshots(db: Db, listed: ListedSnapshot[]): AsyncGenerator<Snapshot> {
  for (const snapshot of listed) {
    const { metadata } = snapshot;
    const texts = metadata === null ? (await selectMetadata(db, { id: snapshot.id }))[0] : { metadata };
    if (texts) yield { ...snapshot, ...texts };
  }
}

const selectMetadata = query<{ id: string }, { metadata: string }>((db, value) =>
  db.selectFrom('snapshots').select('metadata').where('id', '=', value('id')),
);

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

const listedColumns = [
  ...(['id', 'name', 'sandbox_id', 'template_id', 'oci_image', 'memory_mb', 'vcpu_count', 'created_at'] as const),
  ...(['updated_at', 'spawn_count', 'last_spawned_at'] as const),
] as const;

type ListedColumns = Pick<Selectable<SnapshotsTable>, (typeof listedColumns)[number]>;

function snapshotOf<Metadata extends string | null>(row: ListedColumns & { metadata: Metadata }) {
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
