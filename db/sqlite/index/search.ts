import { sql } from 'kysely';
import { parseJson } from '../../json/json.ts';
import { contains } from '../../metadata.ts';
import type { FoundRow, Reader, Search } from '../../metadata-index.ts';
import { query } from '../../prepared.ts';
import { inOrder, type Order } from '../../sandboxes/lists/order.ts';
import type { Db } from '../../store.ts';
import { candidates, maxCandidates } from './candidates.ts';
import { type Plan, planOf } from './chunks.ts';
import { disorderOf } from './ordinals.ts';
import { largeKey, pairKey } from './pairs.ts';
import { positionOf } from './positions.ts';

/**
 * Implements MetadataIndex.newest. Other requests run in between, so sandboxes may move while it
 * searches: resumed sandboxes are looked up again at the end, and when all of an owner's sandboxes
 * were reordered the search starts over.
 */
export async function newest<R extends FoundRow>(db: Db, wanted: Search, reader: Reader<R>): Promise<R[]> {
  const { ownerId, order, limit } = wanted;
  for (;;) {
    const state = await stateOf(db, ownerId);
    const rows = await collect(db, wanted, await planFor(db, wanted), state.disorder, reader);
    const { isReordered, resumed } = await changesSince(db, ownerId, state);
    if (isReordered) continue;
    if (resumed.length === 0) return rows;
    const moved = await reader.select(db, resumed);
    const matching = await matchingOf(db, wanted, moved, () => true, reader);
    return firstOf([...rows, ...matching], order, limit);
  }
}

/** Implements MetadataIndex.count. */
export async function countMatches<R extends FoundRow>(
  db: Db,
  wanted: Search,
  isDecided: boolean,
  reader: Reader<R>,
): Promise<number> {
  const plan = await planFor(db, wanted);
  const disorder = await disorderOf(db, wanted.ownerId);
  const options = { disorder, maxUnfiltered: 0 };
  let count = 0;
  for await (const { positions, isUnsure } of candidates(db, { ...wanted, limit: maxCandidates }, plan, options)) {
    const unsure = isDecided && wanted.filter.isPairwise ? positions.filter(isUnsure) : positions;
    count += positions.length - unsure.length;
    if (unsure.length === 0) continue;
    const rows = await reader.select(db, unsure);
    count += (await matchingOf(db, wanted, rows, isUnsure, reader)).length;
  }
  return count;
}

function planFor(db: Db, { ownerId, filter }: Search): Promise<Plan> {
  const keys = filter.pairs.map((pair) => pairKey(ownerId, pair));
  return planOf(db, keys, largeKey(ownerId));
}

/**
 * Reads candidates in the order of ordinals until all that remain sort after the rows found.
 * Ordinals follow the start except for the owner's disorder: of two sandboxes, the one with the
 * lower ordinal started at most `disorder` milliseconds after the other.
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
  for await (const { positions, isUnsure } of candidates(db, wanted, plan, { disorder })) {
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

/**
 * Returns the rows whose metadata matches. Reads the metadata only where the index can't decide.
 */
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

/** Returns the first rows in this order. Of two rows with the same id, the later one counts. */
function firstOf<R extends FoundRow>(rows: R[], order: Order, limit: number): R[] {
  const once = [...new Map(rows.map((row) => [row.id, row])).values()];
  return once.sort(inOrder(order)).slice(0, limit);
}

/**
 * `version` changes when another connection commits; `position` and `id` are of the highest
 * position.
 */
type State = { version: number; disorder: number; position: number | null; id: string | null };

async function stateOf(db: Db, ownerId: number): Promise<State> {
  const values = { ownerId, from: positionOf(ownerId, 0), to: positionOf(ownerId + 1, 0) };
  const [state] = await selectState(db, values);
  return state ?? { version: 0, disorder: 0, position: null, id: null };
}

/**
 * `resumed` are the positions of sandboxes that were resumed, which moves them above all others.
 */
type Changes = { isReordered: boolean; resumed: number[] };

/**
 * Detects sandboxes that moved since a state was read. Only other processes reorder an owner's
 * sandboxes (an import, the doctor), which gives all of them higher positions.
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
