import { type Request, type RequestHandler, Router } from 'express';
import {
  type ApiKey,
  createApiKey,
  findByApiKey,
  getApiKey,
  listApiKeys,
  renameApiKey,
  revokeApiKey,
} from '../../db/credentials.ts';
import { type Trx, write } from '../../db/sqlite.ts';
import type { components } from '../../spec/types.gen.ts';
import { actorOf, principalOf } from '../auth.ts';
import type { Context } from '../server.ts';
import { isoTime, isoTimeOrNull } from '../wire.ts';

type Schemas = components['schemas'];

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
    const keys = await listApiKeys(store.db, principalOf(req).user.id);
    res.json(keys.map(shown));
  };
}

function create({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const { description }: Schemas['ApiKeyRequest'] = req.body;
    const created = await write(store.db, async (trx) => {
      const key = await createApiKey(trx, now(), actorOf(req), description);
      const keyId = (await findByApiKey(trx, key))?.keyId as number;
      return { ...shown(await getApiKey(trx, user.id, keyId)), api_key: key };
    });
    res.status(201).json(created satisfies Schemas['CreatedApiKey']);
  };
}

function read({ store }: Context): RequestHandler {
  return async (req, res) => {
    res.json(shown(await getApiKey(store.db, principalOf(req).user.id, itemId(req))));
  };
}

function rename({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { description }: Schemas['ApiKeyDescription'] = req.body;
    const change = (trx: Trx) => renameApiKey(trx, now(), actorOf(req), itemId(req), description);
    res.json(shown(await write(store.db, change)));
  };
}

function revoke({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { user } = principalOf(req);
    const revoked = await write(store.db, async (trx) => {
      const { prefix } = await getApiKey(trx, user.id, itemId(req));
      await revokeApiKey(trx, now(), actorOf(req), prefix);
      return getApiKey(trx, user.id, itemId(req));
    });
    res.json(shown(revoked));
  };
}

function shown({ id, prefix, name, createdAt, lastUsedAt, revokedAt }: ApiKey): Schemas['ApiKey'] {
  return {
    ...{ id, prefix, description: name, created_at: isoTime(createdAt) },
    ...{ last_used_at: isoTimeOrNull(lastUsedAt), revoked_at: isoTimeOrNull(revokedAt) },
  };
}

/** NaN for what is no number: no key has that. */
function itemId(req: Request): number {
  const text = req.params.item_id as string;
  return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}
