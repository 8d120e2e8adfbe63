import { sql } from 'kysely';
import type { Search } from '../../metadata-index.ts';
import { query } from '../../prepared.ts';
import type { Order } from '../../sandboxes/lists/order.ts';
import type { Db } from '../../store.ts';
import { allOf, matchingChunks, type Plan } from './chunks.ts';
import { livingIn } from './living.ts';
import { chunkSize, descending, has, intersection, type Members } from './members.ts';
import { chunkOf, ordinalOf, positionOf } from './positions.ts';

/**
 * The largest batch. The first batch is sized for the limit; each further one is four times as
 * large.
 */
export const maxCandidates = 256;

/**
 * Up to this many candidates of a chunk are read as they are. Of more, an index query first drops
 * those that have ended.
 */
const maxUnfilteredCandidates = 32;

/** Positions of sandboxes that may match, and which of these the index can't decide. */
type Batch = { positions: number[]; isUnsure: (position: number) => boolean };

/** Yields batches of the owner's sandboxes that may match, in the order of ordinals. */
export async function* candidates(
  db: Db,
  wanted: Search,
  plan: Plan,
  { disorder, maxUnfiltered = maxUnfilteredCandidates }: { disorder: number; maxUnfiltered?: number },
): AsyncGenerator<Batch> {
  const { ownerId, order, limit, living, turns } = wanted;
  const range = await rangeOf(db, wanted, disorder);
  const [low, high] = [chunkOf(ordinalOf(range.low)), chunkOf(ordinalOf(range.high))];
  let positions: number[] = [];
  let unsure = new Set<number>();
  let size = Math.min(limit + 1, maxCandidates);
  for await (const found of matchingChunks(db, plan, { low, high, order, turns })) {
    let members = allOf(found);
    if (living && hasMoreThan(members, maxUnfiltered)) {
      members = intersection(members, await livingIn(db, ownerId, found.chunk, living));
    }
    for (const offset of inDirection(members, order)) {
      const position = positionOf(ownerId, found.chunk * chunkSize + offset);
      if (position < range.low || position > range.high) continue;
      positions.push(position);
      if (!has(found.sure, offset)) unsure.add(position);
      if (positions.length < size) continue;
      const isUnsure = unsure.has.bind(unsure);
      yield { positions, isUnsure };
      [positions, unsure] = [[], new Set()];
      size = Math.min(size * 4, maxCandidates);
    }
    await turns.next();
  }
  if (positions.length > 0) yield { positions, isUnsure: (position) => unsure.has(position) };
}

function hasMoreThan(members: Members, limit: number): boolean {
  let count = 0;
  for (const _ of descending(members)) if (++count > limit) return true;
  return false;
}

function inDirection(members: Members, order: Order): Iterable<number> {
  return order === 'desc' ? descending(members) : [...descending(members)].reverse();
}

type PositionRange = { low: number; high: number };

/**
 * Returns the range of positions, both ends included, that holds every sandbox that started between
 * `since` and `until`. A sandbox that started more than the disorder after `until` has a higher
 * position than all of these; one that started more than that before `since` has a lower one.
 */
async function rangeOf(db: Db, { ownerId, since, until }: Search, disorder: number): Promise<PositionRange> {
  const [above] = until === null ? [] : await selectAbove(db, { ownerId, after: until + disorder });
  const [below] = since === null ? [] : await selectBelow(db, { ownerId, before: since - disorder });
  return {
    low: below?.position ?? positionOf(ownerId, 0),
    high: above?.position ?? positionOf(ownerId + 1, 0) - 1,
  };
}

type Position = { position: number };

const selectAbove = query<{ ownerId: number; after: number }, Position>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select('position')
    .where('owner_id', '=', value('ownerId'))
    .where('started_at', '>', value('after'))
    .orderBy('started_at')
    .orderBy('id', 'desc')
    .limit(sql.lit(1)),
);

const selectBelow = query<{ ownerId: number; before: number }, Position>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select('position')
    .where('owner_id', '=', value('ownerId'))
    .where('started_at', '<', value('before'))
    .orderBy('started_at', 'desc')
    .orderBy('id')
    .limit(sql.lit(1)),
);
