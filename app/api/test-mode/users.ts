import type { RequestHandler } from 'express';
import { createApiKey } from '../../../db/accounts/api-keys.ts';
import { createUser, findUser, newPasswordHash, setPassword, type User } from '../../../db/accounts/users.ts';
import type { Origin } from '../../../db/events/record.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import type { components } from '../../../spec/types.gen.ts';
import { originOf } from '../../auth.ts';
import type { Context } from '../../context.ts';

type Schemas = components['schemas'];

/** Creates the user unless they exist, sets the password if one is given, and adds an API key. */
export function addUser({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { name, password }: Schemas['TestUserRequest'] = req.body;
    const by = originOf(req);
    const hash = password === undefined ? null : await newPasswordHash(password);
    const apiKey = await inTransaction(store.db, async (trx) => {
      const found = await findUser(trx, name);
      if (found && hash !== null) await setPassword(trx, now(), by, found, hash);
      const user = found ?? (await createUser(trx, now(), by, name, hash));
      return createApiKey(trx, now(), { ...by, ownerId: user.id }, 'test');
    });
    res.json({ name, api_key: apiKey } satisfies Schemas['TestUser']);
  };
}

/**
 * Returns the user of this name. If there is none, creates the user with an API key, and adds the
 * key to `keys` under the name.
 */
export async function findOrCreateUser(
  trx: Trx,
  now: number,
  by: Origin,
  name: string,
  keys: Record<string, string> = {},
): Promise<User> {
  const found = await findUser(trx, name);
  if (found) return found;
  const user = await createUser(trx, now, by, name, null);
  keys[name] = await createApiKey(trx, now, { ...by, ownerId: user.id }, 'test');
  return user;
}
