import { engineOf } from '../../engine.ts';
import type { Filter } from '../../metadata.ts';
import { query } from '../../prepared.ts';
import type { Db } from '../../store.ts';
import { Turns } from '../../turns.ts';
import { type ListedSandbox, listedColumns } from '../read.ts';
import { metadataOf, smallMetadata, type Unread } from './texts.ts';

/** A row of the contract's list. */
export type ListedRow = Omit<ListedSandbox, 'metadata'> & Unread & { position: number };

/**
 * Returns at most `limit` of the owner's sandboxes whose metadata contains the filter, newest
 * first, ties by id.
 */
export async function listSandboxes(
  db: Db,
  now: number,
  ownerId: number,
  { filter, limit }: { filter: Filter; limit: number },
  turns = new Turns(),
): Promise<ListedRow[]> {
  if (filter.pairs.length === 0) return selectNewest(db, { now, ownerId, limit });
  const search = { ownerId, filter, limit, order: 'desc' as const, since: null, until: null, living: null, turns };
  return engineOf(db).index.newest<ListedRow>(db, search, {
    select: (trx, positions) => selectAt(trx, { now, positions }),
    metadata: metadataOf,
  });
}

const selectNewest = query<{ now: number; ownerId: number; limit: number }, ListedRow>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(listedColumns(value('now')))
    .select(['position', smallMetadata])
    .where('owner_id', '=', value('ownerId'))
    .orderBy('started_at', 'desc')
    .orderBy('id')
    .limit(value('limit')),
);

const selectAt = query<{ now: number; positions: number[] }, ListedRow>((db, value, list) =>
  db
    .selectFrom('sandboxes')
    .select(listedColumns(value('now')))
    .select(['position', smallMetadata])
    .where('position', 'in', list('positions')),
);
