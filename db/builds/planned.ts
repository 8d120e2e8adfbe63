import type { Selectable } from 'kysely';
import type { Actor } from '../events/record.ts';
import { randomDigits } from '../random.ts';
import type { SnapshotType } from '../schema.ts';
import type { Snapshot } from '../snapshots/rows.ts';
import { nameTaken } from '../snapshots/snapshots.ts';
import { isTag } from '../snapshots/tags.ts';
import type { Db, Trx } from '../store.ts';
import { type Build, buildOf, requestBuild, startBuild } from './builds.ts';
import type { BuildSpec } from './spec.ts';
import type { TemplateBuildsTable } from './tables.ts';

/** A snapshot that is being built, or whose build has failed: nothing can start from it. */
export type Planned = Snapshot & { state: { status: 'building' | 'failed'; error: string | null } };

export type SnapshotOrder = Pick<Snapshot, 'name' | 'type' | 'vcpuCount' | 'memoryMb'> & { spec: BuildSpec };

/**
 * Records that the build of a snapshot has begun, and returns the build. A snapshot without a name
 * gets one. Throws StoreError `conflict` when the name is taken, also by a snapshot that is being
 * built, or when the owner has too many builds that have not ended.
 */
export async function planSnapshot(trx: Trx, now: number, by: Actor, order: SnapshotOrder): Promise<Build> {
  const { name: given, type: snapshotType, vcpuCount, memoryMb, spec } = order;
  const name = given ?? `built-${randomDigits()}`;
  if (await isTaken(trx, by.ownerId, name)) throw nameTaken(name);
  const build = await requestBuild(trx, now, by, { name, tags: [], snapshotType, vcpuCount, memoryMb });
  await startBuild(trx, now, by, { templateId: build.templateId, id: build.id, spec });
  return { ...build, status: 'building' };
}

async function isTaken(trx: Trx, ownerId: number, name: string): Promise<boolean> {
  const own = (table: 'snapshots' | 'template_builds') =>
    trx.selectFrom(table).select('id').where('owner_id', '=', ownerId).where('name', '=', name);
  const snapshot = await own('snapshots').executeTakeFirst();
  const unfinished = await own('template_builds').where('status', 'in', ['waiting', 'building']).executeTakeFirst();
  return snapshot !== undefined || unfinished !== undefined || (await isTag(trx, ownerId, name));
}

/** Returns the snapshot of a build as it is until it is ready. */
export function plannedOf({ status, reason, snapshotType, templateId, ...build }: Build): Planned {
  const { name, vcpuCount, memoryMb, createdAt, updatedAt } = build;
  return {
    id: templateId,
    name,
    sandboxId: null,
    templateId: null,
    ociImage: null,
    metadata: '{}',
    memoryMb,
    vcpuCount,
    createdAt,
    updatedAt,
    spawnCount: 0,
    lastSpawnedAt: null,
    type: snapshotType ?? 'user',
    buildId: build.id,
    machineRef: null,
    hasMemory: null,
    sizeBytes: null,
    buildCount: 0,
    setup: null,
    state: { status: status === 'error' ? 'failed' : 'building', error: reason },
  };
}

/** Returns the owner's snapshots that are being built or could not be: no more than builds. */
export async function listPlanned(db: Db, ownerId: number, type?: SnapshotType): Promise<Planned[]> {
  const rows = await selectPlanned(db, ownerId)
    .$if(type !== undefined, (builds) => builds.where('snapshot_type', '=', type as SnapshotType))
    .execute();
  return rows.map(plannedOfRow);
}

/** Like `listPlanned`, but returns only the one with this id or name, or null. */
export async function findPlanned(db: Db, ownerId: number, reference: string): Promise<Planned | null> {
  const row = await selectPlanned(db, ownerId)
    .where((eb) => eb.or([eb('template_id', '=', reference), eb('name', '=', reference)]))
    .executeTakeFirst();
  return row ? plannedOfRow(row) : null;
}

/** Selects the last build of each snapshot that InstaVM's clients want and that is not there. */
function selectPlanned(db: Db, ownerId: number) {
  const own = db.selectFrom('template_builds').where('owner_id', '=', ownerId);
  return own
    .selectAll()
    .where('snapshot_type', 'is not', null)
    .where('status', '!=', 'ready')
    .where('seq', 'in', own.select((eb) => eb.fn.max('seq').as('seq')).groupBy('template_id'))
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('snapshots').select('id').whereRef('snapshots.id', '=', 'template_builds.template_id'))),
    );
}

function plannedOfRow(row: Selectable<TemplateBuildsTable>): Planned {
  return plannedOf(buildOf(row));
}
