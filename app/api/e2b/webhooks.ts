import { type ErrorRequestHandler, type Request, type RequestHandler, Router } from 'express';
import { StoreError } from '../../../db/errors.ts';
import { matchesKind } from '../../../db/events/kinds.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import {
  createEndpoint,
  deleteEndpoint,
  type Endpoint,
  getEndpoint,
  listEndpoints,
  updateEndpoint,
} from '../../../db/webhooks/endpoints.ts';
import { rotateSecret } from '../../../db/webhooks/secrets.ts';
import { isoTime } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { type E2bType, e2bTypes, kindsByType, teamIdOf } from '../../events/e2b.ts';
import { requireUrl } from '../../webhooks/request/url.ts';

type Schemas = components['schemas'];

/** What E2B's server does, as its users measured it. */
const maxRetries = 3;
const timeoutSeconds = 15;

/** The routes of the tag `e2b-events` for webhooks. */
export function e2bWebhooksRoutes(context: Context): Router {
  const router = Router();
  router.get('/events/webhooks', list(context));
  router.post('/events/webhooks', create(context));
  router.get('/events/webhooks/:webhookID', read(context));
  router.patch('/events/webhooks/:webhookID', update(context));
  router.delete('/events/webhooks/:webhookID', remove(context));
  router.use('/events/webhooks', unknownWebhook);
  return router;
}

function list({ store }: Context): RequestHandler {
  return async (req, res) => {
    const endpoints = await listEndpoints(store.db, principalOf(req).user.id);
    res.json(endpoints.filter((endpoint) => typesOf(endpoint).length > 0).map(webhook));
  };
}

function create(context: Context): RequestHandler {
  const { store, now } = context;
  return async (req, res) => {
    const { name, url, enabled, events, signatureSecret }: Schemas['NewE2BWebhook'] = req.body;
    requireUrl(context, url);
    const wanted = {
      url,
      eventPatterns: kindsOf(events),
      description: name,
      secret: signatureSecret,
      isEnabled: enabled,
      includesMetadata: true,
      timeoutSeconds,
      maxRetries,
      format: 'e2b' as const,
    };
    const endpoint = await inTransaction(store.db, (trx) => createEndpoint(trx, now(), actorOf(req), wanted));
    res.status(201).json(webhook(endpoint));
  };
}

function read({ store }: Context): RequestHandler {
  return async (req, res) => {
    res.json(webhook(await getWebhook(store.db, req)));
  };
}

function update(context: Context): RequestHandler {
  const { store, now, webhooks } = context;
  return async (req, res) => {
    const { name, url, enabled, events, signatureSecret: secret }: Schemas['E2BWebhookChange'] = req.body;
    if (url !== undefined) requireUrl(context, url);
    const change = {
      ...(url !== undefined && { url }),
      ...(events && { eventPatterns: kindsOf(events) }),
      ...(name !== undefined && { description: name }),
      ...(enabled !== undefined && { isEnabled: enabled }),
    };
    const endpoint = await inTransaction(store.db, async (trx) => {
      const { id, format } = await getWebhook(trx, req);
      if (secret !== undefined) {
        if (format !== 'e2b') throw new HttpError(400, ownSecret(id));
        await rotateSecret(trx, now(), actorOf(req), id, { secret, oldSecretsUntil: 0 });
      }
      return updateEndpoint(trx, now(), actorOf(req), id, change);
    });
    webhooks.wake(endpoint);
    res.json(webhook(endpoint));
  };
}

function remove({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const { id } = await getWebhook(store.db, req);
    await deleteEndpoint(store.db, now, actorOf(req), id);
    res.status(200).end();
  };
}

/**
 * Returns the webhook in the path. Throws StoreError `not_found`, also for one without E2B's types.
 */
async function getWebhook(db: Context['store']['db'] | Trx, req: Request): Promise<Endpoint> {
  const endpoint = await getEndpoint(db, principalOf(req).user.id, req.params.webhookID as string);
  if (typesOf(endpoint).length === 0) throw new StoreError('not_found', 'Webhook endpoint not found');
  return endpoint;
}

const unknownWebhook: ErrorRequestHandler = (error, req, _res, next) => {
  const isUnknown = error instanceof StoreError && error.code === 'not_found';
  const id = req.path.slice(1);
  next(isUnknown ? new HttpError(404, `Webhook "${id}" doesn't exist or you don't have access to it`) : error);
};

function ownSecret(id: string): string {
  return `signatureSecret: the webhook was made through /v1/webhooks. POST /v1/webhooks/endpoints/${id}/rotate-secret gives it another secret`;
}

function kindsOf(types: E2bType[]): string[] {
  return [...new Set(types.flatMap((type) => kindsByType[type]))];
}

/** Returns E2B's types of which an endpoint gets at least one kind. */
function typesOf({ eventPatterns }: Endpoint): E2bType[] {
  const isWanted = (kind: string) => eventPatterns.some((pattern) => matchesKind(pattern, kind));
  return e2bTypes.filter((type) => kindsByType[type].some(isWanted));
}

/** Returns `E2BWebhook` of the contract, which does not show the secret. */
function webhook(endpoint: Endpoint): Schemas['E2BWebhook'] {
  const teamID = teamIdOf(endpoint.ownerId);
  return {
    id: endpoint.id,
    teamID,
    teamId: teamID,
    name: endpoint.description ?? '',
    createdAt: isoTime(endpoint.createdAt),
    enabled: endpoint.isEnabled,
    url: endpoint.url,
    events: typesOf(endpoint),
  };
}
