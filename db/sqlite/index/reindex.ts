import { sql } from 'kysely';
import { type JsonObject, parseJson } from '../../json/json.ts';
import { query } from '../../prepared.ts';
import { type Db, inSnapshot, type Trx } from '../../store.ts';
import { chunkSize, descending, type Members } from './members.ts';
import { OrdinalCounters } from './ordinals.ts';
import { indexedPairs, PairCollector } from './pairs.ts';
import { chunkOf, ordinalOf, positionOf } from './positions.ts';

/** The number of documents read at a time, where a whole chunk is not needed. */
const fewRows = 256;

/** Implements MetadataIndex.removeAll. A key belongs to one owner, so whole rows are deleted. */
export async function removeAllPairs(trx: Trx, ownerId: number): Promise<void> {
  for await (const { pairs } of pages(trx, ownerId, fewRows)) {
    const keys = new Set(pairs.entries().map(({ key }) => key));
    await deletePairs(trx, { keys: JSON.stringify([...keys]) });
  }
}

/**
 * Gives an owner's sandboxes new ordinals in the order of their start, and rebuilds their index
 * entries.
 */
export async function reorder(trx: Trx, ownerId: number): Promise<void> {
  await removeAllPairs(trx, ownerId);
  const next = await new OrdinalCounters(trx).claim(ownerId, 0);
  // Above all ordinals in use, so that no two rows ever share a position, and at the start of a
  // chunk.
  await moveRows(trx, { ownerId, base: positionOf(ownerId, (chunkOf(next) + 1) * chunkSize) });
  for await (const { pairs } of pages(trx, ownerId, fewRows)) await pairs.save(trx);
  await trx.updateTable('users').set({ disorder_milliseconds: 0 }).where('id', '=', ownerId).execute();
}

const maxErrors = 20;

export type IndexReport = { sandboxes: number; errors: string[] };

/** Compares the index with every document. Returns at most 20 differences. */
export async function checkIndex(db: Db): Promise<IndexReport> {
  return inSnapshot(db, async (trx) => {
    const report: IndexReport = { sandboxes: 0, errors: [] };
    let expected = 0;
    for (const { id } of await trx.selectFrom('users').select('id').execute()) {
      for await (const { sandboxes, pairs } of pages(trx, id, chunkSize)) {
        report.sandboxes += sandboxes;
        for (const { key, chunk, members } of pairs.entries()) {
          expected++;
          const [row] = await selectMembers(trx, { key, chunk });
          if (!row || !isSame(row.members, members)) report.errors.push(`chunk ${chunk} of user ${id} is wrong`);
          if (report.errors.length === maxErrors) return report;
        }
      }
    }
    const { actual } = await trx
      .selectFrom('sandbox_metadata')
      .select(({ fn }) => fn.countAll<number>().as('actual'))
      .executeTakeFirstOrThrow();
    if (actual > expected) report.errors.push(`${actual - expected} rows belong to no sandbox`);
    return report;
  });
}

/**
 * Yields the pairs of an owner's sandboxes, lowest position first, at most `size` sandboxes of one
 * chunk at a time.
 */
async function* pages(
  trx: Trx,
  ownerId: number,
  size: number,
): AsyncGenerator<{ sandboxes: number; pairs: PairCollector }> {
  const end = positionOf(ownerId + 1, 0);
  let from = positionOf(ownerId, 0);
  for (;;) {
    const [lowest] = await selectRange(trx, { from, to: end, limit: 1 });
    if (!lowest) return;
    const to = positionOf(ownerId, (chunkOf(ordinalOf(lowest.position)) + 1) * chunkSize);
    const rows = await selectRange(trx, { from: lowest.position, to, limit: size });
    const pairs = new PairCollector();
    for (const { position, metadata } of rows) {
      pairs.add(ownerId, ordinalOf(position), indexedPairs(parseJson(metadata) as JsonObject));
    }
    yield { sandboxes: rows.length, pairs };
    from = (rows.at(-1)?.position ?? to) + 1;
  }
}

function isSame(a: Members, b: Members): boolean {
  return [...descending(a)].join() === [...descending(b)].join();
}

const deletePairs = query<{ keys: string }, unknown>((db, value) =>
  sql`
    delete from sandbox_metadata where pair in (select unhex(value) from json_each(${value('keys')}))
  `.compile(db),
);

const moveRows = query<{ ownerId: number; base: number }, unknown>((db, value) =>
  sql`
    update sandboxes set position = ranked.target
    from (
      select position as source, ${value('base')} + row_number() over (order by started_at, id desc) - 1 as target
      from sandboxes where owner_id = ${value('ownerId')}
    ) as ranked
    where position = ranked.source
  `.compile(db),
);

const selectRange = query<{ from: number; to: number; limit: number }, { position: number; metadata: string }>(
  (db, value) =>
    db
      .selectFrom('sandboxes')
      .select(['position', 'metadata'])
      .where('position', '>=', value('from'))
      .where('position', '<', value('to'))
      .orderBy('position')
      .limit(value('limit')),
);

const selectMembers = query<{ key: string; chunk: number }, { members: Members }>((db, value) =>
  db
    .selectFrom('sandbox_metadata')
    .select('members')
    .where('pair', '=', sql<Uint8Array>`unhex(${value('key')})`)
    .where('chunk', '=', value('chunk')),
);
