import { type Request, type RequestHandler, Router } from 'express';
import {
  type ApiKey,
  createApiKey,
  getApiKey,
  type KeyLimits,
  listApiKeys,
  permissionsOf,
  renameApiKey,
  revokeApiKey,
} from '../../../db/accounts/api-keys.ts';
import { findByApiKey, type Principal } from '../../../db/accounts/principals.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import { isoTime, isoTimeOrNull, readTime, type Time } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { HttpError, ValidationFailure, valueError } from '../../errors.ts';

type Schemas = components['schemas'];

/** The routes of the tag `api-keys`. */
export function apiKeysRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/api-keys/', list(context));
  router.post('/v1/api-keys/', create(context));
  router.get('/v1/api-keys/:item_id', read(context));
  router.patch('/v1/api-keys/:item_id', rename(context));
  router.delete('/v1/api-keys/:item_id', revoke(context));
  return router;
}

function list({ store }: Context): RequestHandler {
  return async (req, res) => {
    const keys = await listApiKeys(store.db, { userId: principalOf(req).user.id });
    res.json(keys.map(apiKeyOf));
  };
}

function create({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const creator = principalOf(req);
    const { description, ...wanted }: NonNullable<Schemas['ApiKeyRequest']> = req.body;
    const created = await inTransaction(store.db, async (trx) => {
      const time = now();
      const limits = limitsOf(wanted, creator, time);
      const key = await createApiKey(trx, time, actorOf(req), description ?? 'unnamed', limits);
      const keyId = (await findByApiKey(trx, time, key))?.keyId as number;
      return { ...apiKeyOf(await getApiKey(trx, creator.user.id, keyId)), api_key: key };
    });
    res.status(201).json(created satisfies Schemas['CreatedApiKey']);
  };
}

/**
 * Returns the limits of a new key. By default it expires with the key that creates it. Throws
 * ValidationFailure for an end in the past, HttpError 403 for one after that of the creating key.
 */
function limitsOf(
  wanted: Omit<NonNullable<Schemas['ApiKeyRequest']>, 'description'>,
  creator: Principal,
  now: number,
): KeyLimits {
  const { expires_at: end, permissions } = wanted;
  const expiresAt = end == null ? creator.expiresAt : (readTime(end) as Time).milliseconds;
  if (expiresAt !== null && !(expiresAt > now)) {
    throw new ValidationFailure([valueError(['body', 'expires_at'], 'expires_at must be in the future', end)]);
  }
  if (creator.expiresAt !== null && Number(expiresAt) > creator.expiresAt) {
    throw new HttpError(
      403,
      `This API key expires at ${isoTime(creator.expiresAt)}: a key that it creates can't be valid longer`,
    );
  }
  return { expiresAt, isReadOnly: permissions != null && !permissions.includes('write') };
}

function read({ store }: Context): RequestHandler {
  return async (req, res) => {
    res.json(apiKeyOf(await getApiKey(store.db, principalOf(req).user.id, itemId(req))));
  };
}

function rename({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { description }: Schemas['ApiKeyDescription'] = req.body;
    const change = (trx: Trx) => renameApiKey(trx, now(), actorOf(req), itemId(req), description);
    res.json(apiKeyOf(await inTransaction(store.db, change)));
  };
}

function revoke({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const revoked = await inTransaction(store.db, async (trx) => {
      const { prefix } = await getApiKey(trx, user.id, itemId(req));
      await revokeApiKey(trx, now(), actorOf(req), prefix);
      return getApiKey(trx, user.id, itemId(req));
    });
    res.json(apiKeyOf(revoked));
  };
}

/** Returns `ApiKey` of the contract, which does not show the key itself. */
function apiKeyOf(key: ApiKey): Schemas['ApiKey'] {
  const { id, prefix, name, createdAt, lastUsedAt, expiresAt, revokedAt } = key;
  return {
    id,
    prefix,
    description: name,
    permissions: permissionsOf(key),
    created_at: isoTime(createdAt),
    last_used_at: isoTimeOrNull(lastUsedAt),
    expires_at: isoTimeOrNull(expiresAt),
    revoked_at: isoTimeOrNull(revokedAt),
  };
}

/** Returns the id in the path; NaN, which no key has, for a text that is not a number. */
function itemId(req: Request): number {
  const text = req.params.item_id as string;
  return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}
