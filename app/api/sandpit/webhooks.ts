import { type Request, type RequestHandler, Router } from 'express';
import { inTransaction } from '../../../db/store.ts';
import { addDelivery, getDelivery } from '../../../db/webhooks/deliveries.ts';
import {
  createEndpoint,
  deleteEndpoint,
  getEnabledEndpoint,
  getEndpoint,
  listEndpoints,
  updateEndpoint,
} from '../../../db/webhooks/endpoints.ts';
import { rotateSecret } from '../../../db/webhooks/secrets.ts';
import type { components } from '../../../spec/types.gen.ts';
import { actorOf, principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { composeTest, testKind } from '../../webhooks/bodies.ts';
import { newSecret } from '../../webhooks/request/signature.ts';
import { requireUrl } from '../../webhooks/request/url.ts';
import { list as listDeliveries, read as readDelivery, resend } from './webhook-deliveries.ts';
import { webhookDelivery, webhookEndpoint, webhookEndpointWithSecret } from './webhook-shapes.ts';
import { verify } from './webhook-verify.ts';

type Schemas = components['schemas'];

/** After a rotation, deliveries are signed with the old secrets as well for this long. */
const overlapMilliseconds = 86_400_000;

/** The routes of the tag `webhooks`. */
export function webhooksRoutes(context: Context): Router {
  const router = Router();
  router.get('/v1/webhooks/endpoints', list(context));
  router.post('/v1/webhooks/endpoints', create(context));
  router.get('/v1/webhooks/endpoints/:endpoint_id', read(context));
  router.patch('/v1/webhooks/endpoints/:endpoint_id', update(context));
  router.delete('/v1/webhooks/endpoints/:endpoint_id', remove(context));
  router.post('/v1/webhooks/endpoints/:endpoint_id/rotate-secret', rotate(context));
  router.post('/v1/webhooks/endpoints/:endpoint_id/test', sendTest(context));
  router.post('/v1/webhooks/endpoints/:endpoint_id/verify', verify(context));
  router.get('/v1/webhooks/deliveries', listDeliveries(context));
  router.get('/v1/webhooks/deliveries/:delivery_id', readDelivery(context));
  router.post('/v1/webhooks/deliveries/:delivery_id/resend', resend(context));
  router.post('/v1/webhooks/deliveries/:delivery_id/replay', resend(context));
  return router;
}

function list({ store }: Context): RequestHandler {
  return async (req, res) => {
    const endpoints = await listEndpoints(store.db, ownerOf(req));
    res.json(endpoints.map(webhookEndpoint));
  };
}

function create(context: Context): RequestHandler {
  const { store, now } = context;
  return async (req, res) => {
    const body: Schemas['NewWebhookEndpoint'] = req.body;
    const { url, event_patterns: eventPatterns, description = null } = body;
    requireUrl(context, url);
    const wanted = {
      url,
      eventPatterns,
      description,
      secret: newSecret(),
      isEnabled: body.enabled,
      includesMetadata: body.include_metadata,
      timeoutSeconds: body.timeout_seconds,
      maxRetries: body.max_retries,
      format: 'standard' as const,
    };
    const endpoint = await inTransaction(store.db, (trx) => createEndpoint(trx, now(), actorOf(req), wanted));
    res.status(201).json(webhookEndpointWithSecret(endpoint));
  };
}

function read({ store }: Context): RequestHandler {
  return async (req, res) => {
    res.json(webhookEndpoint(await getEndpoint(store.db, ownerOf(req), endpointId(req))));
  };
}

function update(context: Context): RequestHandler {
  const { store, now, webhooks } = context;
  return async (req, res) => {
    const body: Schemas['WebhookEndpointChange'] = req.body;
    const { url, event_patterns: eventPatterns, description, enabled, include_metadata: includesMetadata } = body;
    const { timeout_seconds: timeoutSeconds, max_retries: maxRetries } = body;
    if (url !== undefined) requireUrl(context, url);
    const change = {
      ...(url !== undefined && { url }),
      ...(eventPatterns && { eventPatterns }),
      ...(description !== undefined && { description }),
      ...(enabled !== undefined && { isEnabled: enabled }),
      ...(includesMetadata !== undefined && { includesMetadata }),
      ...(timeoutSeconds !== undefined && { timeoutSeconds }),
      ...(maxRetries !== undefined && { maxRetries }),
    };
    const endpoint = await inTransaction(store.db, (trx) =>
      updateEndpoint(trx, now(), actorOf(req), endpointId(req), change),
    );
    webhooks.wake(endpoint);
    res.json(webhookEndpoint(endpoint));
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
    res.json(webhookEndpointWithSecret(endpoint));
  };
}

function sendTest({ store, now, webhooks }: Context): RequestHandler {
  return async (req, res) => {
    const ownerId = ownerOf(req);
    const delivery = await inTransaction(store.db, async (trx) => {
      const endpoint = await getEnabledEndpoint(trx, ownerId, endpointId(req));
      const message = { eventSeq: null, kind: testKind, body: composeTest(endpoint, now()) };
      const deliveryId = await addDelivery(trx, now(), endpoint.id, message);
      return getDelivery(trx, ownerId, deliveryId);
    });
    webhooks.wake({ id: delivery.endpointId, ownerId });
    res.status(202).json(webhookDelivery(delivery));
  };
}

function ownerOf(req: Request): number {
  return principalOf(req).user.id;
}

function endpointId(req: Request): string {
  return req.params.endpoint_id as string;
}
