import { setImmediate as nextTurn } from 'node:timers/promises';
import { sql } from 'kysely';
import { parseJson } from './json.ts';
import { chunkSize, descending, intersection, type Members } from './members.ts';
import { contains, type Filter } from './metadata.ts';
import { disorderOf } from './ordinals.ts';
import { pairKey } from './pairs.ts';
import { positionOf } from './positions.ts';
import { query } from './query.ts';
import { type Db, read } from './sqlite.ts';

type Row = { id: string; metadata: string; startedAt: number };
type Search = { ownerId: number; filter: Filter; limit: number };

/** How many chunks are looked at in one go at most; the first go takes one, each further one four times as many. */
const maxChunks = 64;

/** How many documents are checked before other requests get their turn. */
const recheckBatch = 256;

/**
 * Returns the newest `limit` rows that match the filter, newest first, ties by id. `select` returns the rows at the
 * positions it is given, in any order.
 */
export async function searchNewest<R extends Row>(
  db: Db,
  search: Search,
  select: (db: Db, positions: number[]) => Promise<R[]>,
): Promise<R[]> {
  // Rows that are checked once more need no common snapshot, and must not hold others up while they are.
  if (search.filter.recheck) return collectNewest(db, search, (positions) => select(db, positions));
  return read(db, (trx) => collectNewest(trx, search, (positions) => select(trx, positions)));
}

/**
 * Ordinals follow the start but for the owner's disorder: of two, the lower started at most that much after the
 * higher. So candidates are taken from the highest ordinal down until all that is left is older than what was found.
 */
async function collectNewest<R extends Row>(
  db: Db,
  { ownerId, filter, limit }: Search,
  select: (positions: number[]) => Promise<R[]>,
): Promise<R[]> {
  const { pairs, recheck } = filter;
  const disorder = await disorderOf(db, ownerId);
  let found: R[] = [];
  let oldestSeen = Number.POSITIVE_INFINITY;
  for await (const positions of candidates(
    db,
    ownerId,
    pairs,
    recheck ? Math.max(limit + 1, recheckBatch) : limit + 1,
  )) {
    const rows = await select(positions);
    for (const { startedAt } of rows) oldestSeen = Math.min(oldestSeen, startedAt);
    const matching = recheck ? rows.filter((row) => contains(parseJson(row.metadata), recheck)) : rows;
    found = found.concat(matching).sort(newestFirst).slice(0, limit);
    const last = found[limit - 1];
    if (last && last.startedAt > oldestSeen + disorder) break;
    if (recheck) await nextTurn();
  }
  return found;
}

function newestFirst(a: Row, b: Row): number {
  return b.startedAt - a.startedAt || (a.id < b.id ? -1 : 1);
}

/** Yields the positions of the owner's sandboxes that have every pair, highest first, `size` at a time. */
async function* candidates(db: Db, ownerId: number, pairs: string[], size: number): AsyncGenerator<number[]> {
  let batch: number[] = [];
  for await (const { chunk, members } of commonChunks(
    db,
    pairs.map((pair) => pairKey(ownerId, pair)),
  )) {
    for (const offset of descending(members)) {
      batch.push(positionOf(ownerId, chunk * chunkSize + offset));
      if (batch.length < size) continue;
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

type Chunk = { chunk: number; members: Members };

/** Yields what the pairs have in common, chunk by chunk, highest first. */
async function* commonChunks(db: Db, keys: string[]): AsyncGenerator<Chunk> {
  const [driver = '', ...others] = await rarestFirst(db, keys);
  let below = Number.MAX_SAFE_INTEGER;
  for (let count = 1; ; count = Math.min(count * 4, maxChunks)) {
    const rows = await selectChunks(db, { driver, others: JSON.stringify(others), below, count });
    const chunks = new Map<number, Members>();
    for (const { chunk, members, other } of rows) {
      const common = chunks.get(chunk) ?? members;
      chunks.set(chunk, others.length === 0 ? common : intersection(common, other ?? none));
    }
    for (const [chunk, members] of chunks) yield { chunk, members };
    if (chunks.size < count) return;
    below = Math.min(...chunks.keys());
  }
}

const none: Members = new Uint8Array(0);

/** The pair in the fewest chunks leads: the others are looked up only where it is. */
async function rarestFirst(db: Db, keys: string[]): Promise<string[]> {
  if (keys.length === 1) return keys;
  const counts = await countChunks(db, { keys: JSON.stringify(keys) });
  return counts.sort((a, b) => a.count - b.count).map(({ key }) => key);
}

/** Counts up to 64 chunks for each pair: which of two common pairs leads makes no difference. */
const countChunks = query<{ keys: string }, { key: string; count: number }>((db, value) =>
  sql<{ key: string; count: number }>`
    select wanted.value as key, (
      select count(*) from (select 1 from sandbox_metadata where pair = unhex(wanted.value) limit 64)
    ) as count
    from json_each(${value('keys')}) as wanted
  `.compile(db),
);

type ChunkValues = { driver: string; others: string; below: number; count: number };

const selectChunks = query<ChunkValues, Chunk & { other: Members | null }>((db, value) =>
  sql<Chunk & { other: Members | null }>`
    select driver.chunk, driver.members, held.members as other
    from (
      select chunk, members from sandbox_metadata
      where pair = unhex(${value('driver')}) and chunk < ${value('below')} order by chunk desc limit ${value('count')}
    ) as driver
    left join json_each(${value('others')}) as wanted
    left join sandbox_metadata as held on held.pair = unhex(wanted.value) and held.chunk = driver.chunk
    order by driver.chunk desc
  `.compile(db),
);
