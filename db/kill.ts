import { endLive } from './ending.ts';
import type { Actor } from './events.ts';
import { type JsonObject, parseJson } from './json.ts';
import { compileFilter, contains } from './metadata.ts';
import { everything, listPage } from './pages.ts';
import type { Sandbox } from './sandboxes.ts';
import type { SandboxStatus } from './schema.ts';
import type { Db, Trx } from './sqlite.ts';

/** Which sandboxes to end: those that have not ended and match all of it. */
export type KillCriteria = {
  /** what their metadata contains */
  metadata: JsonObject;
  statuses: Exclude<SandboxStatus, 'killed'>[];
  /** since their current run began */
  olderThanSeconds: number | null;
  /** the oldest; null: all */
  limit: number | null;
};

export type Matches = { sandboxes: Sandbox[]; hasMore: boolean };

const pageSize = 1000;

/** Ends the owner's sandboxes that match, and returns them as they were, oldest first, and whether there are more. */
export async function killMatching(trx: Trx, now: number, by: Actor, criteria: KillCriteria): Promise<Matches> {
  const found = await findMatching(trx, now, by.ownerId, criteria);
  await endLive(trx, now, by, found.sandboxes);
  return found;
}

/** Returns what `killMatching` would end. */
export async function findMatching(db: Db, now: number, ownerId: number, criteria: KillCriteria): Promise<Matches> {
  const { metadata: filter, statuses, olderThanSeconds } = criteria;
  const { pairs, recheck } = compileFilter(filter);
  const limit = criteria.limit ?? Number.POSITIVE_INFINITY;
  const latest = olderThanSeconds === null ? Number.POSITIVE_INFINITY : now - olderThanSeconds * 1000;
  const wanted = { ...everything, statuses, pairs, order: 'asc' as const, limit: pageSize };
  const found: Sandbox[] = [];
  for (let after: Sandbox | null = null; ; ) {
    const page = await listPage(db, now, ownerId, { ...wanted, after });
    const ofAge = page.sandboxes.filter(({ startedAt }) => startedAt <= latest);
    found.push(...ofAge.filter(({ metadata }) => recheck === null || contains(parseJson(metadata), recheck)));
    after = page.sandboxes.at(-1) ?? null;
    if (!page.hasMore || ofAge.length < page.sandboxes.length || found.length > limit) break;
  }
  return { sandboxes: found.slice(0, limit), hasMore: found.length > limit };
}
