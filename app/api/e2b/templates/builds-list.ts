import { findBuild } from '../../../../db/builds/builds.ts';
import { listBuilds } from '../../../../db/builds/read.ts';
import type { Cursor } from '../../../../db/sandboxes/lists/pages.ts';
import type { Snapshot } from '../../../../db/snapshots/rows.ts';
import type { Db } from '../../../../db/store.ts';
import { type ListedBuild, listedBuild, snapshotAsBuild } from './shapes.ts';

type Page = { after: Cursor | null; limit: number };

/**
 * Returns a page of a template's builds, newest first, and the cursor of the next page; null after
 * the last. A snapshot that was not built counts as a build.
 */
export async function pageOfBuilds(
  db: Db,
  ownerId: number,
  template: { id: string; snapshot: Snapshot | null },
  { after, limit }: Page,
): Promise<{ builds: ListedBuild[]; next: Cursor | null }> {
  const { id, snapshot } = template;
  const found = (await listBuilds(db, ownerId, id, { after, limit: limit + 1 })).map(listedBuild);
  const isBuilt = snapshot !== null && (await findBuild(db, ownerId, id, snapshot.buildId)) !== null;
  const taken = snapshot === null || isBuilt ? [] : [snapshotAsBuild(snapshot)];
  const all = [...found, ...taken.filter(({ cursor }) => isAfter(cursor, after))].toSorted(newestFirst);
  const builds = all.slice(0, limit);
  return { builds, next: all.length > limit ? (builds.at(-1)?.cursor ?? null) : null };
}

function isAfter(cursor: Cursor, after: Cursor | null): boolean {
  return after === null || newestFirst({ cursor }, { cursor: after }) > 0;
}

function newestFirst({ cursor: a }: { cursor: Cursor }, { cursor: b }: { cursor: Cursor }): number {
  return b.startedAt - a.startedAt || (a.id < b.id ? -1 : Number(a.id > b.id));
}
