import type { Selectable } from 'kysely';
import { StoreError } from '../errors.ts';
import type { Actor } from '../events/record.ts';
import { query } from '../prepared.ts';
import { randomUuid } from '../random.ts';
import type { SnapshotType } from '../schema.ts';
import { newSnapshotId } from '../snapshots/record.ts';
import type { Db, Trx } from '../store.ts';
import type { BuildSpec } from './spec.ts';
import type { TemplateBuildsTable } from './tables.ts';

/** A build of a template from code. */
export type Build = Pick<Selectable<TemplateBuildsTable>, 'id' | 'seq' | 'name' | 'status' | 'reason'> & {
  ownerId: number;
  templateId: string;
  /** the tags of its template, the one in its name first */
  tags: string[];
  snapshotType: SnapshotType | null;
  vcpuCount: number;
  memoryMb: number;
  /** `base`, the number of a step from 1 on, or `finalize`; null: no single step has failed */
  failedStep: string | null;
  createdAt: number;
  updatedAt: number;
  finishedAt: number | null;
};

export type BuildRequest = Pick<Build, 'name' | 'tags' | 'snapshotType' | 'vcpuCount' | 'memoryMb'>;

/** Builds of an owner that have not ended, and ended ones that are kept with their logs. */
export const maxUnfinished = 20;
export const maxFinished = 100;

/**
 * Records that a template will be built, and returns the build, which waits for `startBuild`. Its
 * template is the snapshot of that name, or a new one. Forgets the owner's oldest ended builds.
 * Throws StoreError `conflict` when the owner has too many builds that have not ended.
 */
export async function requestBuild(
  trx: Trx,
  now: number,
  { ownerId }: Pick<Actor, 'ownerId'>,
  { name, tags, snapshotType, vcpuCount, memoryMb }: BuildRequest,
): Promise<Build> {
  await requireRoom(trx, ownerId);
  const row = await trx
    .insertInto('template_builds')
    .values({
      id: randomUuid(),
      owner_id: ownerId,
      template_id: await templateIdOf(trx, ownerId, name),
      name,
      tags: JSON.stringify(tags),
      snapshot_type: snapshotType,
      vcpu_count: vcpuCount,
      memory_mb: memoryMb,
      status: 'waiting',
      created_at: now,
      updated_at: now,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return buildOf(row);
}

async function requireRoom(trx: Trx, ownerId: number): Promise<void> {
  const own = trx.selectFrom('template_builds').where('owner_id', '=', ownerId);
  const unfinished = await own.select('id').where('status', 'in', ['waiting', 'building']).execute();
  if (unfinished.length >= maxUnfinished) {
    const reason = `You have ${maxUnfinished} builds that have not ended, as many as a user may: wait for one, or delete its template`;
    throw new StoreError('conflict', reason);
  }
  const ended = own.select('seq').where('status', 'in', ['ready', 'error']).orderBy('seq', 'desc');
  await trx.deleteFrom('template_builds').where('seq', 'in', ended.limit(-1).offset(maxFinished)).execute();
}

/** Returns the id of the snapshot that a build of this name makes or replaces. */
async function templateIdOf(trx: Trx, ownerId: number, name: string): Promise<string> {
  const named = trx.selectFrom('snapshots').select('id').where('owner_id', '=', ownerId).where('name', '=', name);
  const planned = trx
    .selectFrom('template_builds')
    .select('template_id as id')
    .where('owner_id', '=', ownerId)
    .where('name', '=', name)
    .orderBy('seq', 'desc');
  const found = (await named.executeTakeFirst()) ?? (await planned.limit(1).executeTakeFirst());
  return found?.id ?? newSnapshotId();
}

/** Returns the owner's build of a template, or null. */
export async function findBuild(db: Db, ownerId: number, templateId: string, id: string): Promise<Build | null> {
  const [row] = await selectBuild(db, { id });
  return row?.owner_id === ownerId && row.template_id === templateId ? buildOf(row) : null;
}

const selectBuild = query<{ id: string }, Selectable<TemplateBuildsTable>>((db, value) =>
  db.selectFrom('template_builds').selectAll().where('id', '=', value('id')),
);

/**
 * Records what to build, and that the build has begun. Throws StoreError `not_found`, and
 * `conflict` when it has begun before.
 */
export async function startBuild(
  trx: Trx,
  now: number,
  { ownerId }: Pick<Actor, 'ownerId'>,
  { templateId, id, spec }: { templateId: string; id: string; spec: BuildSpec },
): Promise<void> {
  const found = await findBuild(trx, ownerId, templateId, id);
  if (!found) throw new StoreError('not_found', 'Build not found');
  if (found.status !== 'waiting') throw new StoreError('conflict', `The build has begun before: it is ${found.status}`);
  const begun = { status: 'building' as const, spec: JSON.stringify(spec), updated_at: now };
  await trx.updateTable('template_builds').set(begun).where('id', '=', id).execute();
}

/** Returns a build that has begun, with what to build; null if it has ended or is gone. */
export async function findOrder(db: Db, id: string): Promise<(Build & { spec: BuildSpec }) | null> {
  const [row] = await selectBuild(db, { id });
  return row?.status === 'building' && row.spec !== null ? { ...buildOf(row), spec: JSON.parse(row.spec) } : null;
}

/** Returns the build of a row. */
export function buildOf(row: Selectable<TemplateBuildsTable>): Build {
  return {
    id: row.id,
    seq: row.seq,
    ownerId: row.owner_id,
    templateId: row.template_id,
    name: row.name,
    tags: JSON.parse(row.tags),
    snapshotType: row.snapshot_type,
    vcpuCount: row.vcpu_count,
    memoryMb: row.memory_mb,
    status: row.status,
    reason: row.reason,
    failedStep: row.failed_step,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    finishedAt: row.finished_at,
  };
}
