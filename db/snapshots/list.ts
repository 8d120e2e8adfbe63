import { sql } from 'kysely';
import { query } from '../prepared.ts';
import type { Cursor } from '../sandboxes/lists/pages.ts';
import { smallText, type Unread } from '../sandboxes/lists/texts.ts';
import type { SnapshotType } from '../schema.ts';
import type { Db } from '../store.ts';
import { heldColumns, isReferredTo, listedColumns, type Snapshot, snapshotOf } from './rows.ts';

/** A snapshot of a list. Its metadata is null if it is large: `wholeSnapshots` reads it. */
export type ListedSnapshot = Omit<Snapshot, 'metadata'> & Unread;

export type SnapshotQuery = {
  type?: SnapshotType | undefined;
  sandboxId?: string | undefined;
  reference?: string | undefined;
  after?: Cursor | null;
  limit: number;
};

/** Returns the owner's snapshots, newest first, ties by id. */
export async function listSnapshots(
  db: Db,
  ownerId: number,
  { type, sandboxId, reference, after, limit }: SnapshotQuery,
): Promise<ListedSnapshot[]> {
  const rows = await db
    .selectFrom('snapshots')
    .select(listedColumns)
    .select(heldColumns)
    .select(smallText('metadata', ['metadata']))
    .where(reference === undefined ? sql<boolean>`owner_id = ${ownerId}` : isReferredTo(ownerId, reference))
    .$if(type !== undefined, (query) => query.where('type', '=', type as SnapshotType))
    .$if(sandboxId !== undefined, (query) => query.where('sandbox_id', '=', sandboxId as string))
    .$if(after != null, (query) => query.where(isAfter(after as Cursor)))
    .orderBy('created_at', 'desc')
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(snapshotOf);
}

/** A range of the index, so rows before the cursor cost nothing. */
function isAfter({ startedAt, id }: Cursor) {
  return sql<boolean>`(created_at <= ${startedAt} and (created_at < ${startedAt} or id > ${id}))`;
}

/**
 * Yields the snapshots of a list with their metadata, one at a time. Leaves out those deleted in
 * between.
 */
export async function* wholeSnapshots<S extends ListedSnapshot>(
  db: Db,
  listed: S[],
): AsyncGenerator<S & Pick<Snapshot, 'metadata'>> {
  for (const snapshot of listed) {
    const { metadata } = snapshot;
    const texts = metadata === null ? (await selectMetadata(db, { id: snapshot.id }))[0] : { metadata };
    if (texts) yield { ...snapshot, ...texts };
  }
}

const selectMetadata = query<{ id: string }, { metadata: string }>((db, value) =>
  db.selectFrom('snapshots').select('metadata').where('id', '=', value('id')),
);
