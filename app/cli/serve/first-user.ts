import { createApiKey } from '../../../db/accounts/api-keys.ts';
import { createUser, type User } from '../../../db/accounts/users.ts';
import { cli } from '../../../db/events/record.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import type { Context } from '../../context.ts';

export type FirstUser = { user: User; key: string };

/**
 * Creates the user `admin` in a database without users. Returns it with its API key, or null if
 * there are users.
 */
export async function createFirstUser({ store, now, config }: Context): Promise<FirstUser | null> {
  return inTransaction(store.db, async (trx) => {
    const existing = await trx.selectFrom('users').select('id').limit(1).executeTakeFirst();
    return existing ? null : addAdmin(trx, now(), config.apiKey);
  });
}

/** Creates the user `admin` with an API key, a random one unless given. */
export async function addAdmin(trx: Trx, now: number, apiKey: string | undefined): Promise<FirstUser> {
  const user = await createUser(trx, now, cli, 'admin', null);
  const key = await createApiKey(trx, now, { ...cli, ownerId: user.id }, 'first key', { given: apiKey });
  return { user, key };
}
