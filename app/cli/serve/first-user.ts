import { createApiKey } from '../../../db/accounts/credentials.ts';
import { createUser } from '../../../db/accounts/users.ts';
import { cli } from '../../../db/events/record.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import type { Context } from '../../context.ts';

/** Gives an empty database its first user, `admin`, and one API key. Returns the key, or null when there are users already. */
export async function createFirstUser(context: Context): Promise<string | null> {
  return inTransaction(context.store.db, async (trx) => {
    const someone = await trx.selectFrom('users').select('id').limit(1).executeTakeFirst();
    return someone ? null : addFirstUser(trx, context);
  });
}

/** Adds the user `admin` with an API key, and returns the key. */
export async function addFirstUser(trx: Trx, { config, now }: Pick<Context, 'config' | 'now'>): Promise<string> {
  const { id } = await createUser(trx, now(), cli, 'admin', null);
  return createApiKey(trx, now(), { ...cli, ownerId: id }, 'first key', { given: config.apiKey });
}
