import { type RawBuilder, sql } from 'kysely';
import { isoTimeOrNull } from '../../spec/time.ts';
import { engineOf } from '../engine.ts';
import { recordOfSandbox, sweeper } from '../events/record.ts';
import type { Indexed } from '../metadata-index.ts';
import { query } from '../prepared.ts';
import type { Trx } from '../store.ts';

/**
 * The most metadata that one step removes from the index, in UTF-16 units: other writes wait for
 * it.
 */
const maxCharacters = 2 ** 18;

/**
 * Deletes at most `limit` sandboxes that ended before a time, the earliest first, with their index
 * entries and the sessions whose last sandbox they were. A sandbox whose end is unknown counts by
 * its start. Returns how many it deleted; fewer than the limit does not mean that none are left.
 */
export async function deleteEnded(trx: Trx, now: number, before: number, limit: number): Promise<number> {
  const rows = upTo(maxCharacters, await selectEnded(trx, { before, limit }));
  if (rows.length === 0) return 0;
  await engineOf(trx).index.remove(trx, rows);
  const ids = rows.map(({ id }) => id);
  for (const { id, ownerId, endAt } of rows) {
    const event = { kind: 'vm.deleted' as const, details: { from: 'killed', end_at: isoTimeOrNull(endAt) } };
    await recordOfSandbox(trx, now, { ...sweeper, ownerId }, id, event);
  }
  await deleteSessions(trx, { ids });
  await deleteRows(trx, { ids });
  return rows.length;
}

type Ended = Indexed & { id: string; endAt: number | null };

/** Returns the first rows whose metadata fits in together, at least one. */
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

const deleteRows = query<{ ids: string[] }, unknown>((db, _value, list) =>
  db.deleteFrom('sandboxes').where('id', 'in', list('ids')),
);

const deleteSessions = query<{ ids: string[] }, unknown>((db, _value, list) =>
  db.deleteFrom('sessions').where('sandbox_id', 'in', list('ids')),
);
