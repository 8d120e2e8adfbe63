import { isoTimeOrNull } from '../../spec/time.ts';
import { engineOf } from '../engine.ts';
import { StoreError } from '../errors.ts';
import type { EventKind } from '../events/kinds.ts';
import { type Actor, type Details, type Origin, recordEvent } from '../events/record.ts';
import { randomBytes } from '../random.ts';
import type { Db, Trx } from '../store.ts';
import { apiKeyPattern, hashOf, isSecretOf, prefixOf } from './secrets.ts';

/**
 * What an API key allows, and until when. `expiresAt` is in milliseconds since 1970; null: it
 * never expires.
 */
export type KeyLimits = { expiresAt: number | null; isReadOnly: boolean };

export const noLimits: KeyLimits = { expiresAt: null, isReadOnly: false };

export type ApiKey = KeyLimits & {
  id: number;
  prefix: string;
  name: string;
  owner: string;
  createdAt: number;
  lastUsedAt: number | null;
  revokedAt: number | null;
};

/** The most keys of a user, revoked ones included: a list has no pages. */
const maxKeys = 1000;

/**
 * Creates an API key for a user and returns it; it can't be read later. The key is random unless
 * `given`. At the limit it takes the place of the oldest key that is revoked or has expired.
 * Throws StoreError `invalid` for a given key of another format, `conflict` when it is taken or
 * the user has too many valid keys.
 */
export async function createApiKey(
  trx: Trx,
  now: number,
  by: Actor,
  name: string,
  { given, ...limits }: Partial<KeyLimits> & { given?: string | undefined } = {},
): Promise<string> {
  const { expiresAt, isReadOnly } = { ...noLimits, ...limits };
  const key = given ?? `e2b_${randomBytes(20).toString('hex')}`;
  if (!apiKeyPattern.test(key)) {
    throw new StoreError('invalid', 'an API key is e2b_ and 40 hexadecimal digits in lower case');
  }
  const prefix = prefixOf(key);
  await makeRoom(trx, now, by.ownerId);
  const values = {
    user_id: by.ownerId,
    name,
    prefix,
    secret_hash: hashOf(key),
    created_at: now,
    last_used_at: null,
    revoked_at: null,
    expires_at: expiresAt,
    read_only: isReadOnly ? (1 as const) : (0 as const),
  };
  try {
    await trx.insertInto('api_keys').values(values).execute();
  } catch (error) {
    if (!engineOf(trx).isUniqueViolation(error)) throw error;
    throw new StoreError('conflict', `an API key beginning ${prefix} exists already`, { cause: error });
  }
  const permissions = permissionsOf({ isReadOnly });
  const details = { description: name, expires_at: isoTimeOrNull(expiresAt), permissions };
  await record(trx, now, by, 'api_key.created', prefix, details);
  return key;
}

async function makeRoom(trx: Trx, now: number, userId: number): Promise<void> {
  const ofUser = trx.selectFrom('api_keys').where('user_id', '=', userId);
  const { count } = await ofUser.select(({ fn }) => fn.countAll<number>().as('count')).executeTakeFirstOrThrow();
  if (count < maxKeys) return;
  const invalid = await ofUser
    .select('id')
    .where((eb) => eb.or([eb('revoked_at', 'is not', null), eb('expires_at', '<=', now)]))
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  if (!invalid) throw new StoreError('conflict', `There may be ${maxKeys} API keys at most: revoke one first`);
  await trx.deleteFrom('api_keys').where('id', '=', invalid.id).execute();
}

/** Returns the permissions of a key, as the API names them. */
export function permissionsOf({ isReadOnly }: Pick<KeyLimits, 'isReadOnly'>): ('read' | 'write')[] {
  return isReadOnly ? ['read'] : ['read', 'write'];
}

/** Returns all API keys, or one user's, oldest first. */
export async function listApiKeys(
  db: Db,
  { userId, id }: { userId?: number | undefined; id?: number } = {},
): Promise<ApiKey[]> {
  const rows = await db
    .selectFrom('api_keys')
    .innerJoin('users', 'users.id', 'api_keys.user_id')
    .select(['api_keys.id', 'prefix', 'api_keys.name', 'users.name as owner', 'api_keys.created_at as createdAt'])
    .select(['last_used_at as lastUsedAt', 'revoked_at as revokedAt'])
    .select(['api_keys.expires_at as expiresAt', 'read_only as readOnly'])
    .$if(userId !== undefined, (query) => query.where('user_id', '=', userId as number))
    .$if(id !== undefined, (query) => query.where('api_keys.id', '=', id as number))
    .orderBy('api_keys.id')
    .execute();
  return rows.map(({ readOnly, ...key }) => ({ ...key, isReadOnly: readOnly === 1 }));
}

/**
 * Revokes a key, given its prefix or the whole key: the next request with it is refused. Returns
 * its prefix. Throws StoreError `not_found`.
 */
export async function revokeApiKey(trx: Trx, now: number, by: Origin, given: string): Promise<string> {
  const prefix = prefixOf(given);
  const found = await trx
    .selectFrom('api_keys')
    .select(['user_id', 'name', 'revoked_at', 'secret_hash'])
    .where('prefix', '=', prefix)
    .executeTakeFirst();
  if (!found || (given !== prefix && !isSecretOf(found, given))) {
    const hint = 'give a prefix as `keys list` shows it, or a whole key';
    throw new StoreError('not_found', `there is no such API key: ${hint}`);
  }
  if (found.revoked_at !== null) return prefix;
  await trx.updateTable('api_keys').set({ revoked_at: now }).where('prefix', '=', prefix).execute();
  const actor = { ...by, ownerId: found.user_id };
  await record(trx, now, actor, 'api_key.revoked', prefix, { description: found.name });
  return prefix;
}

/** Returns the user's API key with this id. Throws StoreError `not_found`. */
export async function getApiKey(db: Db, userId: number, id: number): Promise<ApiKey> {
  const [found] = await listApiKeys(db, { userId, id });
  if (!found) throw new StoreError('not_found', 'API key not found');
  return found;
}

/** Renames the user's API key with this id and returns it. Throws StoreError `not_found`. */
export async function renameApiKey(trx: Trx, now: number, by: Actor, id: number, name: string): Promise<ApiKey> {
  const { ownerId } = by;
  await trx.updateTable('api_keys').set({ name }).where('id', '=', id).where('user_id', '=', ownerId).execute();
  const renamed = await getApiKey(trx, ownerId, id);
  await record(trx, now, by, 'api_key.updated', renamed.prefix, { description: name });
  return renamed;
}

/** Stores when keys were last used: milliseconds since 1970 by key id. */
export async function recordKeyUse(trx: Trx, lastUsed: ReadonlyMap<number, number>): Promise<void> {
  for (const [id, time] of lastUsed) {
    await trx.updateTable('api_keys').set({ last_used_at: time }).where('id', '=', id).execute();
  }
}

type KeyEventKind = EventKind & `api_key.${string}`;

async function record(
  trx: Trx,
  now: number,
  by: Actor,
  kind: KeyEventKind,
  prefix: string,
  details: Details,
): Promise<void> {
  await recordEvent(trx, now, by, { kind, subject: prefix, sandboxId: null, details });
}
