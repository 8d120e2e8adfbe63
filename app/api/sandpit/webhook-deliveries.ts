import type { Request, RequestHandler } from 'express';
import { inTransaction } from '../../../db/store.ts';
import { type Delivery, getDelivery, listDeliveries, resendDelivery } from '../../../db/webhooks/deliveries.ts';
import type { components } from '../../../spec/types.gen.ts';
import { principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { webhookDelivery, webhookDeliveryItem } from './webhook-shapes.ts';

export function list({ store }: Context): RequestHandler {
  return async (req, res) => {
    const { endpoint_id: id, status, event_type: kind, cursor } = req.query as Record<string, string | undefined>;
    const limit = Number(req.query.limit);
    const wanted = {
      ...(id !== undefined && { endpointId: id }),
      ...(status !== undefined && { status: statusOf(status) }),
      ...(kind !== undefined && { kind }),
      ...(cursor !== undefined && { before: Number(cursor) }),
    };
    // One row more than the page shows whether there is another page.
    const found = await listDeliveries(store.db, principalOf(req).user.id, { ...wanted, limit: limit + 1 });
    const page = found.slice(0, limit);
    const body: components['schemas']['WebhookDeliveries'] = {
      deliveries: page.map(webhookDelivery),
      items: page.map(webhookDeliveryItem),
      next_cursor: found.length > limit ? String(page.at(-1)?.seq) : null,
    };
    res.json(body);
  };
}

/** InstaVM's clients call a success `delivered`. */
function statusOf(status: string): Delivery['status'] {
  return status === 'delivered' ? 'succeeded' : (status as Delivery['status']);
}

export function read({ store }: Context): RequestHandler {
  return async (req, res) => {
    res.json(webhookDelivery(await getDelivery(store.db, principalOf(req).user.id, deliveryId(req))));
  };
}

export function resend({ store, now, webhooks }: Context): RequestHandler {
  return async (req, res) => {
    const ownerId = principalOf(req).user.id;
    const delivery = await inTransaction(store.db, (trx) => resendDelivery(trx, now(), ownerId, deliveryId(req)));
    webhooks.wake({ id: delivery.endpointId, ownerId });
    res.status(202).json(webhookDelivery(delivery));
  };
}

function deliveryId(req: Request): string {
  return req.params.delivery_id as string;
}
