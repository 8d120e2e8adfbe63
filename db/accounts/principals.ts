import { isoTime } from '../../spec/time.ts';
import { type Origin, recordEvent } from '../events/record.ts';
import { query } from '../prepared.ts';
import { randomBytes } from '../random.ts';
import type { Db, Trx } from '../store.ts';
import { type KeyLimits, noLimits } from './api-keys.ts';
import { accessTokenPattern, apiKeyPattern, hashOf, isSecretOf, prefixOf } from './secrets.ts';
import type { User } from './users.ts';

/**
 * The user whom a valid credential belongs to. `keyId` is null for an access token, which has no
 * limits.
 */
export type Principal = KeyLimits & { user: User; keyId: number | null };

/**
 * Creates an access token for a user, valid for `lifetimeSeconds`, and returns it. Also deletes
 * all expired tokens.
 */
export async function createAccessToken(
  trx: Trx,
  now: number,
  { user, ...by }: Origin & { user: User },
  lifetimeSeconds: number,
): Promise<string> {
  const token = `spt_${randomBytes(32).toString('hex')}`;
  const values = { prefix: prefixOf(token), secret_hash: hashOf(token), user_id: user.id };
  const expiresAt = now + lifetimeSeconds * 1000;
  await trx.deleteFrom('access_tokens').where('expires_at', '<=', now).execute();
  await trx
    .insertInto('access_tokens')
    .values({ ...values, expires_at: expiresAt })
    .execute();
  const details = { expires_at: isoTime(expiresAt) };
  const event = { kind: 'access_token.created' as const, subject: user.name, sandboxId: null, details };
  await recordEvent(trx, now, { ...by, ownerId: user.id }, event);
  return token;
}

/** Returns the principal of an API key or access token; null if it is not valid at this time. */
export async function findPrincipal(db: Db, now: number, secret: string): Promise<Principal | null> {
  if (apiKeyPattern.test(secret)) return findByApiKey(db, now, secret);
  if (accessTokenPattern.test(secret)) return findByAccessToken(db, now, secret);
  return null;
}

/** Like `findPrincipal`, but only for API keys. */
export async function findByApiKey(db: Db, now: number, key: string): Promise<Principal | null> {
  const [row] = await selectByApiKey(db, { prefix: prefixOf(key) });
  if (!row || !isSecretOf(row, key)) return null;
  const { id, name, keyId, expiresAt, readOnly } = row;
  if (expiresAt !== null && expiresAt <= now) return null;
  return { user: { id, name }, keyId, expiresAt, isReadOnly: readOnly === 1 };
}

async function findByAccessToken(db: Db, now: number, token: string): Promise<Principal | null> {
  const [row] = await selectByAccessToken(db, { prefix: prefixOf(token), now });
  return row && isSecretOf(row, token) ? { user: { id: row.id, name: row.name }, keyId: null, ...noLimits } : null;
}

type Holder = { id: number; name: string; secret_hash: Buffer };
type KeyHolder = Holder & { keyId: number; expiresAt: number | null; readOnly: 0 | 1 };

const selectByApiKey = query<{ prefix: string }, KeyHolder>((db, value) =>
  db
    .selectFrom('api_keys')
    .innerJoin('users', 'users.id', 'api_keys.user_id')
    .select(['api_keys.id as keyId', 'secret_hash', 'users.id', 'users.name'])
    .select(['api_keys.expires_at as expiresAt', 'read_only as readOnly'])
    .where('prefix', '=', value('prefix'))
    .where('revoked_at', 'is', null),
);

const selectByAccessToken = query<{ prefix: string; now: number }, Holder>((db, value) =>
  db
    .selectFrom('access_tokens')
    .innerJoin('users', 'users.id', 'access_tokens.user_id')
    .select(['secret_hash', 'users.id', 'users.name'])
    .where('prefix', '=', value('prefix'))
    .where('expires_at', '>', value('now')),
);
