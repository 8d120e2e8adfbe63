import { sql } from 'kysely';
import { query } from '../../prepared.ts';
import type { Order } from '../../sandboxes/lists/order.ts';
import type { Db } from '../../store.ts';
import type { Turns } from '../../turns.ts';
import { intersection, type Members, union } from './members.ts';

/**
 * The most chunks that one statement reads. The first statement reads one chunk, each further one
 * four times as many. If the rarest pair is in fewer than `fewChunks`, all are read at once.
 */
const maxChunks = 64;
const fewChunks = 16;

/** The most posting lists that one statement reads: it reads one per pair and chunk. */
const maxMembers = 512;

/** What the index knows about a filter before reading its posting lists. */
export type Plan = {
  /** the filter's pairs with the number of chunks they are in, the rarest first */
  pairs: { key: string; count: number }[];
  /** the same for the key of sandboxes whose pairs are not in the index */
  large: { key: string; count: number };
};

export type Chunk = {
  chunk: number;
  /** sandboxes that have every pair of the filter */
  sure: Members;
  /** sandboxes that may match: their pairs are not in the index */
  unsure: Members;
};

/** Counts the chunks of each pair, up to `fewChunks`. */
export async function planOf(db: Db, keys: string[], largeKey: string): Promise<Plan> {
  const rows = await selectCounts(db, { keys: JSON.stringify([...keys, largeKey]) });
  const large = rows.find(({ key }) => key === largeKey) as { key: string; count: number };
  return { pairs: rows.filter((row) => row !== large), large };
}

/**
 * Yields the chunks from `low` to `high` in which sandboxes may match, in this order. The plan has
 * pairs.
 */
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

/** Returns all members of a chunk that may match, sure or not. */
export function allOf({ sure, unsure }: Chunk): Members {
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

/** Selects the posting list of every key in each chunk, in the order of the keys. */
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
