import { type Request, type RequestHandler, Router } from 'express';
import { maxDepth, parseJson } from '../../../db/json/json.ts';
import { inTransaction } from '../../../db/store.ts';
import {
  addDelivery,
  type Delivery,
  getDelivery,
  listDeliveries,
  resendDelivery,
} from '../../../db/webhooks/deliveries.ts';
import {
  createEndpoint,
  deleteEndpoint,
  type Endpoint,
  getEnabledEndpoint,
  getEndpoint,
  listEndpoints,
  updateEndpoint,
} from '../../../db/webhooks/endpoints.ts';
import { rotateSecret } from '../../../db/webhooks/secrets.ts';
import { isoTime, isoTimeOrNull } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { ValidationFailure, valueError } from '../../errors.ts';
import { eventId } from '../../events/shape.ts';
import { AddressRefused, requireSendable } from '../../webhooks/request/address.ts';
import { newSecret } from '../../webhooks/request/signature.ts';

type Schemas = components['schemas'];

/** How long the secrets before still sign as well once there is a new one. */
const overlapMilliseconds = 86_400_000;

export function webhooksRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/webhooks/endpoints', list(context));
  router.post('/v1/webhooks/endpoints', create(context));
  router.get('/v1/webhooks/endpoints/:endpoint_id', read(context));
  router.patch('/v1/webhooks/endpoints/:endpoint_id', update(context));
  router.delete('/v1/webhooks/endpoints/:endpoint_id', remove(context));
  router.post('/v1/webhooks/endpoints/:endpoint_id/rotate-secret', rotate(context));
  router.post('/v1/webhooks/endpoints/:endpoint_id/test', test(context));
  router.get('/v1/webhooks/deliveries', deliveries(context));
  router.get('/v1/webhooks/deliveries/:delivery_id', readDelivery(context));
  router.post('/v1/webhooks/deliveries/:delivery_id/resend', resend(context));
  return router;
}

function list({ store }: Context): RequestHandler {
  return async (req, res) => {
    const endpoints = await listEndpoints(store.db, ownerOf(req));
    res.json(endpoints.map(shown));
  };
}

function create(context: Context): RequestHandler {
  const { store, now } = context;
  return async (req, res) => {
    const body: Schemas['NewWebhookEndpoint'] = req.body;
    const { url, event_patterns: eventPatterns, description = null } = body;
    requireUrl(context, url);
    const wanted = {
      ...{ url, eventPatterns, description, secret: newSecret() },
      ...{ isEnabled: body.enabled, includesMetadata: body.include_metadata },
    };
    const endpoint = await inTransaction(store.db, (trx) => createEndpoint(trx, now(), actorOf(req), wanted));
    res.status(201).json(withSecret(endpoint));
  };
}

function read({ store }: Context): RequestHandler {
  return async (req, res) => {
    res.json(shown(await getEndpoint(store.db, ownerOf(req), endpointId(req))));
  };
}

function update(context: Context): RequestHandler {
  const { store, now, webhooks } = context;
  return async (req, res) => {
    const body: Schemas['WebhookEndpointChange'] = req.body;
    const { url, event_patterns: eventPatterns, description, enabled, include_metadata: includesMetadata } = body;
    if (url !== undefined) requireUrl(context, url);
    const change = {
      ...(url !== undefined && { url }),
      ...(eventPatterns && { eventPatterns }),
      ...(description !== undefined && { description }),
      ...(enabled !== undefined && { isEnabled: enabled }),
      ...(includesMetadata !== undefined && { includesMetadata }),
    };
    const endpoint = await inTransaction(store.db, (trx) =>
      updateEndpoint(trx, now(), actorOf(req), endpointId(req), change),
    );
    webhooks.wake(endpoint);
    res.json(shown(endpoint));
  };
}

function remove({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    await deleteEndpoint(store.db, now, actorOf(req), endpointId(req));
    res.status(204).end();
  };
}

function rotate({ store, now }: Context): RequestHandler {
  return async (req, res) => {
    const secrets = { secret: newSecret(), oldSecretsUntil: now() + overlapMilliseconds };
    const endpoint = await inTransaction(store.db, (trx) =>
      rotateSecret(trx, now(), actorOf(req), endpointId(req), secrets),
    );
    res.json(withSecret(endpoint));
  };
}

function test({ store, now, webhooks }: Context): RequestHandler {
  return async (req, res) => {
    const kind = 'webhook.test';
    const body = JSON.stringify({ type: kind, timestamp: isoTime(now()), data: { endpoint_id: endpointId(req) } });
    const ownerId = ownerOf(req);
    const delivery = await inTransaction(store.db, async (trx) => {
      const { id } = await getEnabledEndpoint(trx, ownerId, endpointId(req));
      const deliveryId = await addDelivery(trx, now(), id, { eventSeq: null, kind, body });
      return getDelivery(trx, ownerId, deliveryId);
    });
    webhooks.wake({ id: delivery.endpointId, ownerId });
    res.status(202).json(shownDelivery(delivery));
  };
}

function deliveries({ store }: Context): RequestHandler {
  return async (req, res) => {
    const { endpoint_id: id, status, cursor } = req.query as Record<string, string | undefined>;
    const limit = Number(req.query.limit);
    const wanted = {
      ...(id !== undefined && { endpointId: id }),
      ...(status !== undefined && { status: status as Delivery['status'] }),
      ...(cursor !== undefined && { before: Number(cursor) }),
    };
    // One more tells whether there is another page.
    const found = await listDeliveries(store.db, ownerOf(req), { ...wanted, limit: limit + 1 });
    const page = found.slice(0, limit);
    const next = found.length > limit ? String(page.at(-1)?.seq) : null;
    res.json({ deliveries: page.map(shownDelivery), next_cursor: next } satisfies Schemas['WebhookDeliveries']);
  };
}

function readDelivery({ store }: Context): RequestHandler {
  return async (req, res) => {
    res.json(shownDelivery(await getDelivery(store.db, ownerOf(req), deliveryId(req))));
  };
}

function resend({ store, now, webhooks }: Context): RequestHandler {
  return async (req, res) => {
    const ownerId = ownerOf(req);
    const delivery = await inTransaction(store.db, (trx) => resendDelivery(trx, now(), ownerId, deliveryId(req)));
    webhooks.wake({ id: delivery.endpointId, ownerId });
    res.status(202).json(shownDelivery(delivery));
  };
}

/** Throws ValidationFailure for a URL that can't be sent to. */
function requireUrl({ config }: Context, url: string): void {
  try {
    requireSendable(url, config.webhookAllow ?? []);
  } catch (error) {
    if (!(error instanceof AddressRefused)) throw error;
    throw new ValidationFailure([valueError(['body', 'url'], error.message, url)]);
  }
}

function shown(endpoint: Endpoint): Schemas['WebhookEndpoint'] {
  const { id, url, eventPatterns, description, isEnabled, includesMetadata, createdAt, updatedAt } = endpoint;
  return {
    ...{ id, url, event_patterns: eventPatterns, description, enabled: isEnabled, include_metadata: includesMetadata },
    failing_since: isoTimeOrNull(endpoint.failingSince),
    ...{ created_at: isoTime(createdAt), updated_at: isoTime(updatedAt) },
  };
}

function withSecret(endpoint: Endpoint): Schemas['WebhookEndpointWithSecret'] {
  return { ...shown(endpoint), secret: endpoint.secret };
}

function shownDelivery(delivery: Delivery): Schemas['WebhookDelivery'] {
  const { id, endpointId: endpoint, eventSeq, kind, status, attempts, responseStatus, error, createdAt } = delivery;
  return {
    ...{ id, endpoint_id: endpoint, event_id: eventSeq === null ? null : eventId(eventSeq), kind, status, attempts },
    ...{ response_status: responseStatus, error, created_at: isoTime(createdAt) },
    last_attempt_at: isoTimeOrNull(delivery.lastAttemptAt),
    next_attempt_at: isoTimeOrNull(delivery.nextAttemptAt),
    payload: parseJson(delivery.body, maxDepth + 2) as Schemas['WebhookDelivery']['payload'],
  };
}

function ownerOf(req: Request): number {
  return principalOf(req).user.id;
}

function endpointId(req: Request): string {
  return req.params.endpoint_id as string;
}

function deliveryId(req: Request): string {
  return req.params.delivery_id as string;
}
