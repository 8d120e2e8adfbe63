import { sql } from 'kysely';
import { query } from '../../prepared.ts';
import type { Db } from '../../store.ts';
import type { Turns } from '../../turns.ts';
import { intersection, type Members, union } from './members.ts';

/**
 * How many chunks are read in one statement at most; the first statement reads one, each further one four times as many.
 * Of a pair that is in fewer than `fewChunks`, all are read at once.
 */
const maxChunks = 64;
const fewChunks = 16;

/** Members that one statement reads at most: every pair of the filter is read in each chunk. */
const maxMembers = 512;

export type Order = 'desc' | 'asc';

/** What the index knows of a filter before its members are read. */
export type Plan = {
  /** the filter's pairs, the one in the fewest chunks first */
  pairs: { key: string; count: number }[];
  /** the key of the sandboxes whose pairs are not in the index, and in how many chunks there are any */
  large: { key: string; count: number };
};

export type Chunk = {
  chunk: number;
  /** these have every pair of the filter */
  sure: Members;
  /** these may match: their pairs are not in the index */
  unsure: Members;
};

/** Says in how many chunks each pair is, counted up to `fewChunks`. */
export async function planOf(db: Db, keys: string[], largeKey: string): Promise<Plan> {
  const rows = await selectCounts(db, { keys: JSON.stringify([...keys, largeKey]) });
  const large = rows.find(({ key }) => key === largeKey) as { key: string; count: number };
  return { pairs: rows.filter((row) => row !== large), large };
}

/** Yields the chunks from `low` to `high` in which something may match a plan with pairs, in this order. */
export async function* matchingChunks(
  db: Db,
  { pairs, large }: Plan,
  { low, high, order, turns }: { low: number; high: number; order: Order; turns: Turns },
): AsyncGenerator<Chunk> {
  const [rarest] = pairs;
  if (!rarest || (rarest.count === 0 && large.count === 0)) return;
  const keys = JSON.stringify([...pairs.map(({ key }) => key), large.key]);
  const most = Math.max(1, Math.min(maxChunks, Math.floor(maxMembers / (pairs.length + 1))));
  const bounds = { low, high };
  for (let count = rarest.count < fewChunks ? Math.min(fewChunks, most) : 1; ; count = Math.min(count * 4, most)) {
    const rows = await selectChunks[order](db, { driver: rarest.key, large: large.key, keys, count, ...bounds });
    const chunks = Map.groupBy(rows, ({ chunk }) => chunk);
    for (const [chunk, members] of chunks) {
      yield { chunk, sure: common(members.slice(0, -1)), unsure: members.at(-1)?.members ?? none };
    }
    if (chunks.size < count) return;
    if (order === 'desc') bounds.high = Math.min(...chunks.keys()) - 1;
    else bounds.low = Math.max(...chunks.keys()) + 1;
    await turns.next();
  }
}

const none: Members = new Uint8Array(0);

function common(rows: { members: Members | null }[]): Members {
  return rows
    .map(({ members }) => members ?? none)
    .reduce((all, each) => (all.length === 0 ? all : intersection(all, each)));
}

/** Returns both kinds of a chunk's candidates as one set. */
export function candidatesOf({ sure, unsure }: Chunk): Members {
  return unsure.length === 0 ? sure : union(sure, unsure);
}

const selectCounts = query<{ keys: string }, { key: string; count: number }>((db, value) =>
  sql<{ key: string; count: number }>`
    select wanted.value as key, (
      select count(*) from (select 1 from sandbox_metadata where pair = unhex(wanted.value) limit ${sql.lit(fewChunks)})
    ) as count
    from json_each(${value('keys')}) as wanted
    order by count
  `.compile(db),
);

type ChunkValues = { driver: string; large: string; keys: string; low: number; high: number; count: number };
type Row = { chunk: number; members: Members | null };

const selectChunks = { desc: chunksIn('desc'), asc: chunksIn('asc') };

/** In each chunk the members of every key, in the order of the keys. */
function chunksIn(order: Order) {
  const direction = sql.raw(order);
  return query<ChunkValues, Row>((db, value) => {
    const chunksOf = (key: 'driver' | 'large') => sql`
      select chunk from (
        select chunk from sandbox_metadata
        where pair = unhex(${value(key)}) and chunk >= ${value('low')} and chunk <= ${value('high')}
        order by chunk ${direction} limit ${value('count')}
      )`;
    return sql<Row>`
      select driver.chunk, held.members
      from (
        ${chunksOf('driver')} union ${chunksOf('large')} order by chunk ${direction} limit ${value('count')}
      ) as driver
      join json_each(${value('keys')}) as wanted
      left join sandbox_metadata as held on held.pair = unhex(wanted.value) and held.chunk = driver.chunk
      order by driver.chunk ${direction}, wanted.key
    `.compile(db);
  });
}
