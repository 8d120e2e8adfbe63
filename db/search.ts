import { setImmediate as nextTurn } from 'node:timers/promises';
import { sql } from 'kysely';
import { type JsonObject, parseJson } from './json.ts';
import { chunkSize, descending, intersection, type Members } from './members.ts';
import { contains, type Filter } from './metadata.ts';
import { pairKey } from './pairs.ts';
import { positionOf } from './positions.ts';
import { query } from './query.ts';
import { type Db, read } from './sqlite.ts';

type Row = { id: string; metadata: string; startedAt: number };
type Search = { ownerId: number; filter: Filter; limit: number };

/**
 * How many chunks are looked at in one go at most; the first go takes one, each further one four times as many. A pair
 * in fewer chunks than `fewChunks` has them looked at all at once.
 */
const maxChunks = 64;
const fewChunks = 16;

/** How many candidates are looked at in one go at most; the first go takes what may do, each further one four times as many. */
const maxCandidates = 1024;

/** How long documents are checked before other requests get their turn. */
const turnMilliseconds = 10;

/**
 * Returns the newest `limit` rows that match the filter, newest first, ties by id. `select` returns the rows at the
 * positions it is given, in any order.
 */
export async function searchNewest<R extends Row>(
  db: Db,
  search: Search,
  select: (db: Db, positions: number[]) => Promise<R[]>,
): Promise<R[]> {
  if (!search.filter.recheck)
    return read(db, (trx) => collectNewest(trx, search, (positions) => select(trx, positions)));
  // Checking documents may take long and must not hold others up, so there is no common snapshot. What could upset it
  // is that sandboxes are moved meanwhile; that old ones are deleted does not.
  for (;;) {
    const before = await stateOf(db, search.ownerId);
    const rows = await collectNewest(db, search, (positions) => select(db, positions));
    if (await wasReordered(db, before)) continue;
    const resumed = await resumedSince(db, search, before, (positions) => select(db, positions));
    return newest([...resumed, ...rows], search.limit);
  }
}

type State = { version: number; highest: { position: number; id: string } | undefined };

async function stateOf(db: Db, ownerId: number): Promise<State> {
  const [version] = await selectVersion(db, {});
  const [highest] = await selectHighest(db, { from: positionOf(ownerId, 0), to: positionOf(ownerId + 1, 0) });
  return { version: version?.data_version ?? 0, highest };
}

/** Putting an owner's sandboxes in order moves all of them. Only other processes do: an import, the doctor. */
async function wasReordered(db: Db, { version, highest }: State): Promise<boolean> {
  const [now] = await selectVersion(db, {});
  if (now?.data_version === version || !highest) return false;
  return (await selectId(db, highest))[0]?.id !== highest.id;
}

/** Returns what matches of those that were resumed meanwhile: that moves them above all, where the search has been. */
async function resumedSince<R extends Row>(
  db: Db,
  { ownerId, filter: { recheck } }: Search,
  { highest }: State,
  select: (positions: number[]) => Promise<R[]>,
): Promise<R[]> {
  const above = highest?.position ?? positionOf(ownerId, 0);
  const moved = await selectResumed(db, { above, to: positionOf(ownerId + 1, 0) });
  if (moved.length === 0 || !recheck) return [];
  return checked(await select(moved.map(({ position }) => position)), recheck);
}

/** Returns the newest, each once: of two with one id the first. */
function newest<R extends Row>(rows: R[], limit: number): R[] {
  const seen = new Set<string>();
  const once = rows.filter(({ id }) => !seen.has(id) && seen.add(id));
  return once.sort(newestFirst).slice(0, limit);
}

const selectVersion = query<Record<string, never>, { data_version: number }>((db) =>
  sql<{ data_version: number }>`pragma data_version`.compile(db),
);

const selectHighest = query<{ from: number; to: number }, { position: number; id: string }>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(['position', 'id'])
    .where('position', '>=', value('from'))
    .where('position', '<', value('to'))
    .orderBy('position', 'desc')
    .limit(1),
);

const selectId = query<{ position: number }, { id: string }>((db, value) =>
  db.selectFrom('sandboxes').select('id').where('position', '=', value('position')),
);

const selectResumed = query<{ above: number; to: number }, { position: number }>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select('position')
    .where('position', '>', value('above'))
    .where('position', '<', value('to'))
    .where('first_started_at', 'is not', null),
);

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
  const keys = JSON.stringify(pairs.map((pair) => pairKey(ownerId, pair)));
  const plan = await selectPlan(db, { ownerId, keys });
  const disorder = plan[0]?.disorder ?? 0;
  let found: R[] = [];
  let oldestSeen = Number.POSITIVE_INFINITY;
  for await (const positions of candidates(db, ownerId, plan, limit + 1)) {
    const rows = await select(positions);
    for (const { startedAt } of rows) oldestSeen = Math.min(oldestSeen, startedAt);
    const matching = recheck ? await checked(rows, recheck) : rows;
    found = found.concat(matching).sort(newestFirst).slice(0, limit);
    const last = found[limit - 1];
    if (last && last.startedAt > oldestSeen + disorder) break;
  }
  return found;
}

async function checked<R extends Row>(rows: R[], filter: JsonObject): Promise<R[]> {
  const matching: R[] = [];
  let turn = performance.now();
  for (const row of rows) {
    if (contains(parseJson(row.metadata), filter)) matching.push(row);
    if (performance.now() - turn < turnMilliseconds) continue;
    await nextTurn();
    turn = performance.now();
  }
  return matching;
}

function newestFirst(a: Row, b: Row): number {
  return b.startedAt - a.startedAt || (a.id < b.id ? -1 : 1);
}

/** Yields the positions of the owner's sandboxes that have every pair, highest first, `first` of them and then more at a time. */
async function* candidates(db: Db, ownerId: number, plan: Plan[], first: number): AsyncGenerator<number[]> {
  let batch: number[] = [];
  let size = first;
  for await (const { chunk, members } of commonChunks(db, plan)) {
    for (const offset of descending(members)) {
      batch.push(positionOf(ownerId, chunk * chunkSize + offset));
      if (batch.length < size) continue;
      yield batch;
      batch = [];
      size = Math.max(first, Math.min(size * 4, maxCandidates));
    }
  }
  if (batch.length > 0) yield batch;
}

type Chunk = { chunk: number; members: Members };

/** Yields what the pairs have in common, chunk by chunk, highest first. */
async function* commonChunks(db: Db, [rarest, ...rest]: Plan[]): AsyncGenerator<Chunk> {
  if (!rarest || rarest.count === 0) return;
  const driver = rarest.key;
  const others = rest.map(({ key }) => key);
  let below = Number.MAX_SAFE_INTEGER;
  // Every pair of the filter is read in each of them.
  const most = Math.max(1, Math.min(maxChunks, Math.floor(2048 / (others.length + 1))));
  for (let count = rarest.count < fewChunks ? Math.min(fewChunks, most) : 1; ; count = Math.min(count * 4, most)) {
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

type Plan = { key: string; count: number; disorder: number };

/**
 * For each pair in how many chunks it is, counted up to `fewChunks`, and the owner's disorder. The pair in the fewest leads, the
 * others are looked up only where it is; between common pairs it makes no difference which.
 */
const selectPlan = query<{ ownerId: number; keys: string }, Plan>((db, value) =>
  sql<Plan>`
    select wanted.value as key, (
      select count(*) from (select 1 from sandbox_metadata where pair = unhex(wanted.value) limit ${sql.lit(fewChunks)})
    ) as count, (select disorder_milliseconds from users where id = ${value('ownerId')}) as disorder
    from json_each(${value('keys')}) as wanted
    order by count
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
