import { createApiKey } from '../../../db/accounts/api-keys.ts';
import { createUser } from '../../../db/accounts/users.ts';
import { cli } from '../../../db/events/record.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import type { Context } from '../../context.ts';

/**
 * Creates the user `admin` in a database without users. Returns its API key, or null if there are
 * users.
 */
export async function createFirstUser({ store, now, config }: Context): Promise<string | null> {
  return inTransaction(store.db, async (trx) => {
    const existing = await trx.selectFrom('users').select('id').limit(1).executeTakeFirst();
    return existing ? null : addAdmin(trx, now(), config.apiKey);
  });
}

/** Creates the user `admin` with an API key, a random one unless given. Returns the key. */
export async function addAdmin(trx: Trx, now: number, apiKey: string | undefined): Promise<string> {
  const { id } = await createUser(trx, now, cli, 'admin', null);
  return createApiKey(trx, now, { ...cli, ownerId: id }, 'first key', { given: apiKey });
}
