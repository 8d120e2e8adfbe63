import type { Clock } from '../../spec/time.ts';
import { afterCommit } from '../errors.ts';
import type { Actor } from '../events/record.ts';
import { type JsonObject, parseJson } from '../json/json.ts';
import { compileFilter, contains } from '../metadata.ts';
import { query } from '../prepared.ts';
import type { SandboxStatus } from '../schema.ts';
import { type Db, inTransaction, type Trx } from '../store.ts';
import { Turns } from '../turns.ts';
import { endLive } from './expire.ts';
import { type Cursor, everything, listPage, type SandboxQuery } from './lists/pages.ts';
import { metadataOf, smallMetadata, type Unread } from './lists/texts.ts';
import { type Sandbox, statusAt } from './read.ts';

/** Selects sandboxes that have not ended and meet every condition. */
export type KillCriteria = {
  /** their metadata contains this */
  metadata: JsonObject;
  statuses: Exclude<SandboxStatus, 'killed'>[];
  /** counted from the start of their current run; null: any age */
  olderThanSeconds: number | null;
  /** ends only the oldest ones; null: all */
  limit: number | null;
};

export type Match = Pick<Sandbox, 'id' | 'status' | 'startedAt' | 'onTimeout'>;
export type Matches = { sandboxes: Match[]; hasMore: boolean };

const pageSize = 1000;

/**
 * The most that one transaction ends. A sandbox whose metadata must be read separately counts as
 * `largeWeight`.
 */
const maxWeight = 256;
const largeWeight = 32;

/**
 * Ends the owner's sandboxes that match. Returns them as they were before, oldest first, and
 * whether more match than the limit allows. Unlike other changes it opens its own transactions,
 * each ending a few sandboxes, so that other requests run in between; given a transaction, it uses
 * that one.
 */
export async function killMatching(
  db: Db,
  now: Clock,
  by: Actor,
  criteria: KillCriteria,
  turns = new Turns(),
): Promise<Matches> {
  const { weighed, hasMore } = await find(db, now(), by.ownerId, criteria, turns);
  const killed: Match[] = [];
  for (const batch of batchesOf(weighed)) {
    const ended = await inTransaction(db, (trx) => killFound(trx, now(), by, criteria, batch)).catch((error) => {
      throw killed.length > 0 ? afterCommit(error) : error;
    });
    killed.push(...ended);
    await turns.next();
  }
  return { sandboxes: killed, hasMore };
}

/** Returns the sandboxes that `killMatching` would end. */
export async function findMatching(
  db: Db,
  now: number,
  ownerId: number,
  criteria: KillCriteria,
  turns = new Turns(),
): Promise<Matches> {
  const { weighed, hasMore } = await find(db, now, ownerId, criteria, turns);
  return { sandboxes: weighed.map(({ match }) => match), hasMore };
}

type Weighed = { match: Match; isLarge: boolean };

async function find(
  db: Db,
  now: number,
  ownerId: number,
  criteria: KillCriteria,
  turns: Turns,
): Promise<{ weighed: Weighed[]; hasMore: boolean }> {
  const most = criteria.limit ?? Number.POSITIVE_INFINITY;
  const wanted = { ...everything, ...queryOf(now, criteria), order: 'asc' as const };
  const weighed: Weighed[] = [];
  for (let after: Cursor | null = null; ; ) {
    const limit = Math.min(pageSize, most - weighed.length);
    const page = await listPage(db, now, ownerId, { ...wanted, after, limit }, turns);
    for (const { id, status, startedAt, onTimeout, metadata } of page.sandboxes) {
      weighed.push({ match: { id, status, startedAt, onTimeout }, isLarge: metadata === null });
    }
    after = page.sandboxes.at(-1) ?? null;
    if (!page.hasMore || weighed.length >= most) return { weighed, hasMore: page.hasMore };
    await turns.next();
  }
}

type Wanted = Pick<SandboxQuery, 'filter' | 'statuses' | 'until'>;

function queryOf(now: number, { metadata, statuses, olderThanSeconds }: KillCriteria): Wanted {
  const until = olderThanSeconds === null ? null : now - olderThanSeconds * 1000;
  return { filter: compileFilter(metadata), statuses, until };
}

function* batchesOf(weighed: Weighed[]): Generator<string[]> {
  let batch: string[] = [];
  let weight = 0;
  for (const { match, isLarge } of weighed) {
    batch.push(match.id);
    weight += isLarge ? largeWeight : 1;
    if (weight < maxWeight) continue;
    yield batch;
    [batch, weight] = [[], 0];
  }
  if (batch.length > 0) yield batch;
}

/**
 * Ends those of the sandboxes that still match: other requests may have changed them since they
 * were found.
 */
async function killFound(trx: Trx, now: number, by: Actor, criteria: KillCriteria, ids: string[]): Promise<Match[]> {
  const { filter, statuses, until } = queryOf(now, criteria);
  const still = await selectStill(trx, { now, ownerId: by.ownerId, statuses, ids });
  const found = new Map(still.map((row) => [row.id, row]));
  const matching: Match[] = [];
  for (const id of ids) {
    const row = found.get(id);
    if (!row || (until !== null && row.startedAt > until)) continue;
    const isMatch = filter.pairs.length === 0 || contains(parseJson(await metadataOf(trx, row)), filter.document);
    if (isMatch) matching.push(row);
  }
  await endLive(trx, now, by, matching);
  return matching;
}

type StillValues = { now: number; ownerId: number; statuses: SandboxStatus[]; ids: string[] };

const selectStill = query<StillValues, Match & Unread>((db, value, list) =>
  db
    .selectFrom('sandboxes')
    .select((eb) => [
      'id',
      statusAt(eb, value('now')).as('status'),
      'started_at as startedAt',
      'on_timeout as onTimeout',
    ])
    .select(smallMetadata)
    .where('id', 'in', list('ids'))
    .where('owner_id', '=', value('ownerId'))
    .where((eb) => eb(statusAt(eb, value('now')), 'in', list('statuses'))),
);
