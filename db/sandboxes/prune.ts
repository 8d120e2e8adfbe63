import { type RawBuilder, sql } from 'kysely';
import { isoTimeOrNull } from '../../spec/time.ts';
import { recordOfSandbox, sweeper } from '../events/record.ts';
import { type JsonObject, parseJson } from '../json/json.ts';
import { query } from '../prepared.ts';
import { indexedPairs, PairCollector } from '../sqlite/index/pairs.ts';
import { ordinalOf } from '../sqlite/index/positions.ts';
import type { Trx } from '../store.ts';

/** How much metadata is taken apart in one step: other writes wait for it. */
const maxCharacters = 2 ** 18;

/**
 * Deletes at most `limit` sandboxes that ended before this time, those that ended first, with what the index has of
 * them. Where no end is known their start counts. Returns how many; fewer than the limit need not be all.
 */
export async function deleteEnded(trx: Trx, now: number, before: number, limit: number): Promise<number> {
  const rows = upTo(maxCharacters, await selectEnded(trx, { before, limit }));
  if (rows.length === 0) return 0;
  const pairs = new PairCollector();
  for (const { position, ownerId, metadata } of rows) {
    pairs.add(ownerId, ordinalOf(position), indexedPairs(parseJson(metadata) as JsonObject));
  }
  await pairs.remove(trx);
  await deleteAt(trx, { positions: JSON.stringify(rows.map(({ position }) => position)) });
  for (const { id, ownerId, endAt } of rows) {
    const event = { kind: 'vm.deleted' as const, details: { from: 'killed', end_at: isoTimeOrNull(endAt) } };
    await recordOfSandbox(trx, now, { ...sweeper, ownerId }, id, event);
  }
  return rows.length;
}

type Ended = { position: number; id: string; endAt: number | null; ownerId: number; metadata: string };

function upTo(characters: number, rows: Ended[]): Ended[] {
  let sum = 0;
  return rows.filter(({ metadata }, index) => {
    sum += metadata.length;
    return index === 0 || sum <= characters;
  });
}

const endedAt: RawBuilder<number> = sql`coalesce(end_at, started_at)`;

const selectEnded = query<{ before: number; limit: number }, Ended>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(['position', 'id', 'end_at as endAt', 'owner_id as ownerId', 'metadata'])
    .where('status', '=', sql.lit('killed'))
    .where(endedAt, '<', value('before'))
    .orderBy(endedAt)
    .limit(value('limit')),
);

const deleteAt = query<{ positions: string }, unknown>((db, value) =>
  db.deleteFrom('sandboxes').where('position', 'in', sql<number>`(select value from json_each(${value('positions')}))`),
);
