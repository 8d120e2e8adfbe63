import type { RequestHandler } from 'express';
import { getEndpoint } from '../../../db/webhooks/endpoints.ts';
import type { components } from '../../../spec/types.gen.ts';
import { principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import type { Outcome } from '../../webhooks/request/send.ts';
import { isAccepted } from '../../webhooks/retry.ts';
import { verifyEndpoint } from '../../webhooks/verify.ts';

/** How many verifications of one owner may be under way: each waits for a stranger's server. */
const maxPerOwner = 4;

/**
 * Sends a test message to a webhook endpoint and waits for its response: 200 if the endpoint
 * answers 2xx. Throws HttpError 502 if it answers otherwise or cannot be reached, and 429 when
 * too many verifications of the owner are under way.
 */
export function verify(context: Context): RequestHandler {
  /** How many verifications are under way, by the id of their owner. */
  const running = new Map<number, number>();
  return async (req, res) => {
    const ownerId = principalOf(req).user.id;
    const endpoint = await getEndpoint(context.store.db, ownerId, req.params.endpoint_id as string);
    const count = running.get(ownerId) ?? 0;
    if (count >= maxPerOwner) throw tooMany();
    running.set(ownerId, count + 1);
    const controller = new AbortController();
    const abort = () => controller.abort(new Error('the verification was aborted'));
    res.once('close', abort);
    context.stopping.addEventListener('abort', abort);
    try {
      const outcome = await verifyEndpoint(context, endpoint, controller);
      if (!isAccepted(outcome)) throw new HttpError(502, refusalOf(outcome));
      res.json(verification(endpoint.id, outcome));
    } finally {
      context.stopping.removeEventListener('abort', abort);
      const others = (running.get(ownerId) ?? 1) - 1;
      if (others > 0) running.set(ownerId, others);
      else running.delete(ownerId);
    }
  };
}

function verification(id: string, outcome: Outcome): components['schemas']['WebhookVerification'] {
  return { endpoint_id: id, status: 'verified', response_status: 'status' in outcome ? outcome.status : 0 };
}

function refusalOf(outcome: Outcome): string {
  return 'status' in outcome
    ? `The webhook endpoint answered ${outcome.status}: it must answer 2xx`
    : `The webhook endpoint could not be verified: ${outcome.error}`;
}

function tooMany(): HttpError {
  const message = `${maxPerOwner} webhook endpoints are being verified already: wait until one has answered`;
  return new HttpError(429, message, { 'Retry-After': '1' });
}
