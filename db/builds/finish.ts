import type { Actor } from '../events/record.ts';
import type { Setup } from '../machines/setup.ts';
import { addMachineSnapshot, type MachineSnapshot } from '../machines/snapshots.ts';
import { putBuilt } from '../snapshots/built.ts';
import type { Snapshot } from '../snapshots/rows.ts';
import { assignTags } from '../snapshots/tags.ts';
import type { Db, Trx } from '../store.ts';
import { type Build, buildOf } from './builds.ts';

/** Why a build failed. `step` is as in `Build.failedStep`. */
export type BuildFailure = { reason: string; step: string | null };

/** How long a build may wait for its files and its spec: as long as clients upload files. */
export const waitMilliseconds = 3_600_000;

/**
 * Records that a build has succeeded: what the driver holds becomes the snapshot of its name, in
 * the place of an earlier one, and its tags point to it. Returns the snapshot. Returns null, and
 * records no snapshot, if the build is gone or has ended, or if a build of the same name that was
 * asked for later is ready already: then this one fails.
 */
export async function finishBuild(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  { setup, ...held }: MachineSnapshot & { setup: Setup },
): Promise<Snapshot | null> {
  const build = await findBegun(trx, id);
  if (!build) return null;
  const later = await laterReady(trx, build);
  if (later.some(({ name }) => name === build.name)) {
    await failBuild(trx, now, id, { reason: overtaken, step: null });
    return null;
  }
  await addMachineSnapshot(trx, now, held);
  const snapshot = await putBuilt(trx, now, by, { ...build, machineRef: held.ref, setup });
  const taken = new Set(later.flatMap(referencesOf));
  const references = referencesOf(build).filter((reference) => !taken.has(reference));
  await assignTags(trx, now, by, snapshot, references);
  await end(trx, now, id, { status: 'ready', reason: null, failed_step: null });
  return snapshot;
}

const overtaken = 'A build of the same name that was asked for later is ready already';

/** Records that a build has failed, unless it has ended. `reason` is for its owner. */
export async function failBuild(trx: Trx, now: number, id: string, { reason, step }: BuildFailure): Promise<void> {
  await end(trx, now, id, { status: 'error', reason, failed_step: step });
}

/** Records that no build goes on, because the server that ran them has stopped. */
export async function failInterrupted(trx: Trx, now: number): Promise<void> {
  const building = trx.selectFrom('template_builds').select('id').where('status', '=', 'building');
  for (const { id } of await building.execute()) await failBuild(trx, now, id, { reason: interrupted, step: null });
}

const interrupted = 'The server stopped while it built the template: build it again';

/** Records that builds which have waited too long fail, at most `limit`. Returns their number. */
export async function failForgotten(trx: Trx, now: number, limit: number): Promise<number> {
  const forgotten = await trx
    .selectFrom('template_builds')
    .select('id')
    .where('status', '=', 'waiting')
    .where('created_at', '<=', now - waitMilliseconds)
    .limit(limit)
    .execute();
  for (const { id } of forgotten) await failBuild(trx, now, id, { reason: neverBegun, step: null });
  return forgotten.length;
}

const neverBegun = 'The build was not begun within an hour';

async function findBegun(db: Db, id: string): Promise<Build | null> {
  const begun = db.selectFrom('template_builds').selectAll().where('id', '=', id).where('status', '=', 'building');
  const row = await begun.executeTakeFirst();
  return row ? buildOf(row) : null;
}

async function laterReady(db: Db, { ownerId, seq }: Build): Promise<Build[]> {
  const later = db.selectFrom('template_builds').selectAll().where('owner_id', '=', ownerId).where('seq', '>', seq);
  return (await later.where('status', '=', 'ready').execute()).map(buildOf);
}

/** Returns the names that a template gets from its tags, in the stored form. */
function referencesOf({ name, tags }: Build): string[] {
  const base = name.replace(/:.*$/, '');
  return tags.map((tag) => (tag === 'default' ? base : `${base}:${tag}`));
}

type End = { status: 'ready' | 'error'; reason: string | null; failed_step: string | null };

async function end(trx: Trx, now: number, id: string, values: End): Promise<void> {
  await trx
    .updateTable('template_builds')
    // The spec may hold secrets.
    .set({ ...values, spec: null, updated_at: now, finished_at: now })
    .where('id', '=', id)
    .where('status', 'in', ['waiting', 'building'])
    .execute();
}
