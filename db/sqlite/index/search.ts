import { sql } from 'kysely';
import { parseJson } from '../../json/json.ts';
import { contains, type Filter } from '../../metadata.ts';
import { query } from '../../prepared.ts';
import type { Db } from '../../store.ts';
import type { Turns } from '../../turns.ts';
import { candidatesOf, matchingChunks, type Order, type Plan, planOf } from './chunks.ts';
import { type Living, livingIn } from './living.ts';
import { chunkSize, descending, has, intersection, type Members } from './members.ts';
import { largeKey, pairKey } from './pairs.ts';
import { chunkOf, ordinalOf, positionOf } from './positions.ts';

/** How many candidates are looked at in one step at most; the first step takes what may do, each further one four times as many. */
const maxCandidates = 256;

/** Up to so many candidates of a chunk are looked up one by one; of more the ended ones are first left out by an index. */
const fewCandidates = 32;

export type FoundRow = { position: number; id: string; startedAt: number };

/** What to search among an owner's sandboxes: the filter has pairs. */
export type Search = {
  ownerId: number;
  filter: Filter;
  order: Order;
  limit: number;
  /** When those that can be meant started, in milliseconds since 1970, both included. */
  since: number | null;
  until: number | null;
  /** Null: also those that have ended. */
  living: Living | null;
  turns: Turns;
};

/** How a search reads rows. */
export type Reader<R extends FoundRow> = {
  /** Returns the rows at these positions that are meant, whatever their metadata, in any order. */
  select: (db: Db, positions: number[]) => Promise<R[]>;
  /** Returns a row's metadata as JSON text. */
  metadata: (db: Db, row: R) => Promise<string>;
};

/**
 * Returns the first `limit` rows that match, newest first, ties by id, or in the exact reverse. Others have their turn
 * meanwhile, so there is no common snapshot. What could upset the search is that sandboxes are moved: resumed ones are
 * looked for once more, and when all of an owner's were put in order the search begins anew.
 */
export async function search<R extends FoundRow>(db: Db, wanted: Search, reader: Reader<R>): Promise<R[]> {
  const { ownerId, filter, order, limit } = wanted;
  const keys = filter.pairs.map((pair) => pairKey(ownerId, pair));
  for (;;) {
    const state = await stateOf(db, ownerId);
    const plan = await planOf(db, keys, largeKey(ownerId));
    const rows = await collect(db, wanted, plan, state.disorder, reader);
    const { isReordered, resumed } = await changesSince(db, ownerId, state);
    if (isReordered) continue;
    if (resumed.length === 0) return rows;
    const moved = await reader.select(db, resumed);
    const matching = await matchingOf(db, wanted, moved, () => true, reader);
    return firstOf([...rows, ...matching], order, limit);
  }
}

/**
 * Returns how many match. `isDecided` says that the index tells all that is meant: then no rows are read but those
 * of which it does not know enough.
 */
export async function countMatches<R extends FoundRow>(
  db: Db,
  wanted: Search,
  isDecided: boolean,
  reader: Reader<R>,
): Promise<number> {
  const keys = wanted.filter.pairs.map((pair) => pairKey(wanted.ownerId, pair));
  const plan = await planOf(db, keys, largeKey(wanted.ownerId));
  const { disorder } = await stateOf(db, wanted.ownerId);
  let count = 0;
  for await (const { positions, isUnsure } of candidates(db, { ...wanted, limit: maxCandidates }, plan, disorder, 0)) {
    const unsure = isDecided && wanted.filter.isPairwise ? positions.filter(isUnsure) : positions;
    count += positions.length - unsure.length;
    if (unsure.length === 0) continue;
    const rows = await reader.select(db, unsure);
    count += (await matchingOf(db, wanted, rows, isUnsure, reader)).length;
  }
  return count;
}

type Batch = { positions: number[]; isUnsure: (position: number) => boolean };

/**
 * Ordinals follow the start but for the owner's disorder: of two, the lower started at most that much after the
 * higher. So candidates are taken in the order of ordinals until all that is left comes behind what was found.
 */
async function collect<R extends FoundRow>(
  db: Db,
  wanted: Search,
  plan: Plan,
  disorder: number,
  reader: Reader<R>,
): Promise<R[]> {
  const { order, limit, turns } = wanted;
  const rank = ({ startedAt }: FoundRow) => (order === 'desc' ? startedAt : -startedAt);
  let found: R[] = [];
  let lowest = Number.POSITIVE_INFINITY;
  for await (const { positions, isUnsure } of candidates(db, wanted, plan, disorder)) {
    const rows = await reader.select(db, positions);
    for (const row of rows) lowest = Math.min(lowest, rank(row));
    const matching = await matchingOf(db, wanted, rows, isUnsure, reader);
    found = firstOf(found.concat(matching), order, limit);
    const last = found[limit - 1];
    if (last && rank(last) > lowest + disorder) break;
    await turns.next();
  }
  return found;
}

/** Returns the rows whose metadata matches. Those are read of which the index does not know enough. */
async function matchingOf<R extends FoundRow>(
  db: Db,
  { filter, turns }: Search,
  rows: R[],
  isUnsure: (position: number) => boolean,
  { metadata }: Reader<R>,
): Promise<R[]> {
  const matching: R[] = [];
  for (const row of rows) {
    const isKnown = filter.isPairwise && !isUnsure(row.position);
    if (isKnown || contains(parseJson(await metadata(db, row)), filter.document)) matching.push(row);
    if (!isKnown) await turns.next();
  }
  return matching;
}

/** Returns the first rows in this order, each once: of two with one id the second. */
function firstOf<R extends FoundRow>(rows: R[], order: Order, limit: number): R[] {
  const once = [...new Map(rows.map((row) => [row.id, row])).values()];
  return once.sort(inOrder(order)).slice(0, limit);
}

/** Returns the comparison of rows for this order. */
export function inOrder(order: Order): (a: Omit<FoundRow, 'position'>, b: Omit<FoundRow, 'position'>) => number {
  const sign = order === 'desc' ? 1 : -1;
  return (a, b) => sign * (b.startedAt - a.startedAt || (a.id < b.id ? -1 : 1));
}

/** Yields the positions of the owner's sandboxes that may match, in the order of ordinals, few and then more at a time. */
async function* candidates(
  db: Db,
  wanted: Search,
  plan: Plan,
  disorder: number,
  few = fewCandidates,
): AsyncGenerator<Batch> {
  const { ownerId, order, limit, living, turns } = wanted;
  const range = await rangeOf(db, wanted, disorder);
  const [low, high] = [chunkOf(ordinalOf(range.low)), chunkOf(ordinalOf(range.high))];
  let positions: number[] = [];
  let unsure = new Set<number>();
  let size = Math.min(limit + 1, maxCandidates);
  for await (const found of matchingChunks(db, plan, { low, high, order, turns })) {
    let members = candidatesOf(found);
    if (living && isMore(members, few)) {
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

function isMore(members: Members, few: number): boolean {
  let count = 0;
  for (const _ of descending(members)) if (++count > few) return true;
  return false;
}

function inDirection(members: Members, order: Order): Iterable<number> {
  return order === 'desc' ? descending(members) : [...descending(members)].reverse();
}

type PositionRange = { low: number; high: number };

/**
 * Returns between which positions those are that started in time. One that started more than the disorder after `until`
 * lies above all that are meant, and one that started more than that before `since` below.
 */
async function rangeOf(db: Db, { ownerId, since, until }: Search, disorder: number): Promise<PositionRange> {
  const [above] = until === null ? [] : await selectAbove(db, { ownerId, after: until + disorder });
  const [below] = since === null ? [] : await selectBelow(db, { ownerId, before: since - disorder });
  return {
    low: below?.position ?? positionOf(ownerId, 0),
    high: above?.position ?? positionOf(ownerId + 1, 0) - 1,
  };
}

type State = { version: number; disorder: number; position: number | null; id: string | null };

async function stateOf(db: Db, ownerId: number): Promise<State> {
  const values = { ownerId, from: positionOf(ownerId, 0), to: positionOf(ownerId + 1, 0) };
  const [state] = await selectState(db, values);
  return state ?? { version: 0, disorder: 0, position: null, id: null };
}

type Changes = { isReordered: boolean; resumed: number[] };

/**
 * Returns what happened since: whether the owner's sandboxes were put in order, which moves all of them and is done by
 * other processes only (an import, the doctor), and where those are that were resumed, which moves them above all others.
 */
async function changesSince(db: Db, ownerId: number, { version, position, id }: State): Promise<Changes> {
  const above = position ?? positionOf(ownerId, 0) - 1;
  const [now] = await selectChanges(db, { above, to: positionOf(ownerId + 1, 0) });
  const isReordered = now?.version !== version && id !== null && now?.id !== id;
  return { isReordered, resumed: JSON.parse(now?.resumed ?? '[]') };
}

const selectState = query<{ ownerId: number; from: number; to: number }, State>((db, value) =>
  sql<State>`
    select (select data_version from pragma_data_version) as version,
      (select disorder_milliseconds from users where id = ${value('ownerId')}) as disorder, highest.position, highest.id
    from (select 1) left join (
      select position, id from sandboxes
      where position >= ${value('from')} and position < ${value('to')} order by position desc limit 1
    ) as highest
  `.compile(db),
);

type Now = { version: number; id: string | null; resumed: string };

const selectChanges = query<{ above: number; to: number }, Now>((db, value) =>
  sql<Now>`
    select (select data_version from pragma_data_version) as version,
      (select id from sandboxes where position = ${value('above')}) as id,
      (
        select json_group_array(position) from sandboxes
        where position > ${value('above')} and position < ${value('to')} and first_started_at is not null
      ) as resumed
  `.compile(db),
);

type Place = { position: number };

const selectAbove = query<{ ownerId: number; after: number }, Place>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select('position')
    .where('owner_id', '=', value('ownerId'))
    .where('started_at', '>', value('after'))
    .orderBy('started_at')
    .orderBy('id', 'desc')
    .limit(sql.lit(1)),
);

const selectBelow = query<{ ownerId: number; before: number }, Place>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select('position')
    .where('owner_id', '=', value('ownerId'))
    .where('started_at', '<', value('before'))
    .orderBy('started_at', 'desc')
    .orderBy('id')
    .limit(sql.lit(1)),
);
