import { query } from '../prepared.ts';
import type { Db } from '../store.ts';

/** Who this database is to a container engine, and the key of its machines' access tokens. */
export type Instance = { id: string; tokenKey: Buffer };

/** Returns the identity that the database got when it was made. */
export async function readInstance(db: Db): Promise<Instance> {
  const [instance] = await selectInstance(db, {});
  if (!instance) throw new Error('the database has no identity: its table instance is empty');
  return instance;
}

const selectInstance = query<Record<string, never>, Instance>((db) =>
  db.selectFrom('instance').select(['id', 'token_key as tokenKey']),
);
