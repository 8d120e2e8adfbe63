import { hash, timingSafeEqual } from 'node:crypto';
import { isoTime, isoTimeOrNull } from '../../spec/time.ts';
import { engineOf } from '../engine.ts';
import { StoreError } from '../errors.ts';
import type { EventKind } from '../events/kinds.ts';
import { type Actor, type Details, type Origin, recordEvent } from '../events/record.ts';
import { query } from '../prepared.ts';
import { randomBytes } from '../random.ts';
import type { Db, Trx } from '../store.ts';
import type { User } from './users.ts';

/**
 * A secret is a word, `e2b_` or `spt_`, and random hexadecimal digits. Its first digits, the prefix, are kept in the
 * clear to find the row and to tell keys apart; of the whole only the SHA-256 is kept, which a random secret of this
 * length makes safe without a slow hash.
 */
export const apiKeyPattern = /^e2b_[0-9a-f]{40}$/;
const accessTokenPattern = /^spt_[0-9a-f]{64}$/;
const prefixLength = 'e2b_'.length + 12;

/** What an API key may do, and until when. `expiresAt` is milliseconds since 1970, null for a key that never expires. */
export type KeyLimits = { expiresAt: number | null; isReadOnly: boolean };

export const noLimits: KeyLimits = { expiresAt: null, isReadOnly: false };

/** Who a valid credential speaks for; `keyId` is null when it is an access token, which has no limits. */
export type Principal = KeyLimits & { user: User; keyId: number | null };

type Holder = { id: number; name: string; secret_hash: Buffer };
type KeyHolder = Holder & { keyId: number; expiresAt: number | null; readOnly: 0 | 1 };

export type ApiKey = KeyLimits & {
  id: number;
  prefix: string;
  name: string;
  owner: string;
  createdAt: number;
  lastUsedAt: number | null;
  revokedAt: number | null;
};

/**
 * Makes an API key for a user and returns it: it can't be read again. Without `given` it is a random one.
 * Throws StoreError `invalid` for a given key of another shape, `conflict` when it is taken.
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
  const values = {
    ...{ user_id: by.ownerId, name, prefix: prefixOf(key), secret_hash: hashOf(key), created_at: now },
    ...{ expires_at: expiresAt, read_only: isReadOnly ? (1 as const) : (0 as const) },
  };
  try {
    await trx
      .insertInto('api_keys')
      .values({ ...values, last_used_at: null, revoked_at: null })
      .execute();
  } catch (error) {
    if (!engineOf(trx).isUniqueViolation(error)) throw error;
    throw new StoreError('conflict', `an API key beginning ${prefixOf(key)} exists already`, { cause: error });
  }
  const details = {
    description: name,
    expires_at: isoTimeOrNull(expiresAt),
    permissions: permissionsOf({ isReadOnly }),
  };
  await recordOfKey(trx, now, by, 'api_key.created', prefixOf(key), details);
  return key;
}

/** Returns what a key may do, as callers are told. */
export function permissionsOf({ isReadOnly }: Pick<KeyLimits, 'isReadOnly'>): ('read' | 'write')[] {
  return isReadOnly ? ['read'] : ['read', 'write'];
}

/** Returns every API key, or one user's, oldest first. */
export async function listApiKeys(db: Db, userId?: number): Promise<ApiKey[]> {
  return selectApiKeys(db, { userId });
}

async function selectApiKeys(db: Db, { userId, id }: { userId?: number | undefined; id?: number }): Promise<ApiKey[]> {
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
 * Revokes the key of this prefix, or this whole key, from the next request on. Returns its prefix.
 * Throws StoreError `not_found`.
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
  await recordOfKey(trx, now, { ...by, ownerId: found.user_id }, 'api_key.revoked', prefix, {
    description: found.name,
  });
  return prefix;
}

/** Returns the user's API key of this id. Throws StoreError `not_found`. */
export async function getApiKey(db: Db, userId: number, id: number): Promise<ApiKey> {
  const [found] = await selectApiKeys(db, { userId, id });
  if (!found) throw new StoreError('not_found', 'API key not found');
  return found;
}

/** Names the user's API key of this id anew and returns it. Throws StoreError `not_found`. */
export async function renameApiKey(trx: Trx, now: number, by: Actor, id: number, name: string): Promise<ApiKey> {
  const { ownerId } = by;
  await trx.updateTable('api_keys').set({ name }).where('id', '=', id).where('user_id', '=', ownerId).execute();
  const renamed = await getApiKey(trx, ownerId, id);
  await recordOfKey(trx, now, by, 'api_key.updated', renamed.prefix, { description: name });
  return renamed;
}

/** Writes when keys were last used: milliseconds since 1970 by key id. */
export async function recordKeyUse(trx: Trx, lastUsed: ReadonlyMap<number, number>): Promise<void> {
  for (const [id, time] of lastUsed) {
    await trx.updateTable('api_keys').set({ last_used_at: time }).where('id', '=', id).execute();
  }
}

/** Makes an access token for a user, valid for `lifetimeSeconds`, and returns it; expired ones are swept away. */
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

/** Returns who the API key or access token speaks for at this time, or null if it is not valid. */
export async function findPrincipal(db: Db, now: number, secret: string): Promise<Principal | null> {
  if (apiKeyPattern.test(secret)) return findByApiKey(db, now, secret);
  if (accessTokenPattern.test(secret)) return findByAccessToken(db, now, secret);
  return null;
}

/** As findPrincipal, for API keys only. */
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

type KeyEventKind = EventKind & `api_key.${string}`;

async function recordOfKey(
  trx: Trx,
  now: number,
  by: Actor,
  kind: KeyEventKind,
  prefix: string,
  details: Details,
): Promise<void> {
  await recordEvent(trx, now, by, { kind, subject: prefix, sandboxId: null, details });
}

function isSecretOf(row: { secret_hash: Buffer }, secret: string): boolean {
  return timingSafeEqual(row.secret_hash, hashOf(secret));
}

function prefixOf(secret: string): string {
  return secret.slice(0, prefixLength);
}

function hashOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}
