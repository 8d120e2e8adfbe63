import { StoreError } from '../errors.ts';
import { query } from '../prepared.ts';
import { randomDigits } from '../random.ts';
import type { Db, Trx } from '../store.ts';

/** A port of a sandbox under a name of its own. */
export type Share = {
  id: string;
  sandboxId: string;
  port: number;
  isPublic: boolean;
  /** milliseconds since 1970 */
  createdAt: number;
};

/** How many ports of one sandbox can be shared. */
const maxShares = 100;

/**
 * Shares a port of a sandbox, and returns the share. A port that is shared already keeps its name.
 * Throws StoreError `refused` if there are too many.
 */
export async function putShare(
  trx: Trx,
  now: number,
  { sandboxId, port, isPublic }: Pick<Share, 'sandboxId' | 'port' | 'isPublic'>,
): Promise<Share> {
  const existing = await trx.selectFrom('shares').select(['id', 'port']).where('sandbox_id', '=', sandboxId).execute();
  const found = existing.find((share) => share.port === port);
  if (!found && existing.length >= maxShares) {
    throw new StoreError('refused', `The sandbox shares ${maxShares} ports already: revoke one first`);
  }
  const id = found?.id ?? `s${randomDigits()}`;
  const row = { id, sandbox_id: sandboxId, port, is_public: toBit(isPublic), created_at: now };
  await trx
    .insertInto('shares')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ is_public: toBit(isPublic) }))
    .execute();
  return (await findShare(trx, id)) as Share;
}

/** Returns anyone's share, or null: requests to a share carry no credential of its owner. */
export async function findShare(db: Db, id: string): Promise<Share | null> {
  const [row] = await selectShare(db, { id });
  return row ? { ...row, isPublic: row.isPublic === 1 } : null;
}

/** Returns the owner's share. Throws StoreError `refused`, because InstaVM's client hides a 404. */
export async function getShare(db: Db, ownerId: number, id: string): Promise<Share> {
  const share = await findShare(db, id);
  const owned = share && (await selectOwned(db, { sandboxId: share.sandboxId, ownerId })).length > 0;
  if (!owned) throw new StoreError('refused', `There is no share ${id}`);
  return share;
}

export async function setPublic(trx: Trx, id: string, isPublic: boolean): Promise<void> {
  await trx
    .updateTable('shares')
    .set({ is_public: toBit(isPublic) })
    .where('id', '=', id)
    .execute();
}

export async function deleteShare(trx: Trx, id: string): Promise<void> {
  await trx.deleteFrom('shares').where('id', '=', id).execute();
}

function toBit(value: boolean): 0 | 1 {
  return value ? 1 : 0;
}

const selectShare = query<{ id: string }, Omit<Share, 'isPublic'> & { isPublic: 0 | 1 }>((db, value) =>
  db
    .selectFrom('shares')
    .select(['id', 'sandbox_id as sandboxId', 'port', 'is_public as isPublic', 'created_at as createdAt'])
    .where('id', '=', value('id')),
);

const selectOwned = query<{ sandboxId: string; ownerId: number }, { id: string }>((db, value) =>
  db.selectFrom('sandboxes').select('id').where('id', '=', value('sandboxId')).where('owner_id', '=', value('ownerId')),
);
