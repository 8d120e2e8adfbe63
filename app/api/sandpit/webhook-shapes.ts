import { maxDepth, parseJson } from '../../../db/json/json.ts';
import type { Delivery } from '../../../db/webhooks/deliveries.ts';
import type { Endpoint } from '../../../db/webhooks/endpoints.ts';
import { isoTime, isoTimeOrNull } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { eventId } from '../../events/shape.ts';

type Schemas = components['schemas'];

/** Returns `WebhookEndpoint` of the contract, which does not show the secret. */
export function webhookEndpoint(endpoint: Endpoint): Schemas['WebhookEndpoint'] {
  return {
    id: endpoint.id,
    url: endpoint.url,
    event_patterns: endpoint.eventPatterns,
    description: endpoint.description,
    enabled: endpoint.isEnabled,
    include_metadata: endpoint.includesMetadata,
    failing_since: isoTimeOrNull(endpoint.failingSince),
    created_at: isoTime(endpoint.createdAt),
    updated_at: isoTime(endpoint.updatedAt),
    status: endpoint.isEnabled ? 'active' : 'disabled',
    secret_hint: hintOf(endpoint.secret),
    timeout_seconds: endpoint.timeoutSeconds,
    max_retries: endpoint.maxRetries,
    format: endpoint.format,
  };
}

/** Four characters of a short secret would give too much of it away. */
function hintOf(secret: string): string {
  return secret.length < 20 ? '…' : `…${secret.slice(-4)}`;
}

/** Returns `WebhookEndpointWithSecret` of the contract. */
export function webhookEndpointWithSecret(endpoint: Endpoint): Schemas['WebhookEndpointWithSecret'] {
  return { ...webhookEndpoint(endpoint), secret: endpoint.secret };
}

/** Returns `WebhookDelivery` of the contract. */
export function webhookDelivery(delivery: Delivery): Schemas['WebhookDelivery'] {
  return {
    id: delivery.id,
    endpoint_id: delivery.endpointId,
    event_id: delivery.eventSeq === null ? null : eventId(delivery.eventSeq),
    kind: delivery.kind,
    event_type: delivery.kind,
    status: delivery.status,
    attempts: delivery.attempts,
    attempt_count: delivery.attempts,
    response_status: delivery.responseStatus,
    error: delivery.error,
    created_at: isoTime(delivery.createdAt),
    last_attempt_at: isoTimeOrNull(delivery.lastAttemptAt),
    next_attempt_at: isoTimeOrNull(delivery.nextAttemptAt),
    payload: parseJson(delivery.body, maxDepth + 2) as Schemas['WebhookDelivery']['payload'],
  };
}

/** Returns `WebhookDeliveryItem` of the contract, in InstaVM's words. */
export function webhookDeliveryItem(delivery: Delivery): Schemas['WebhookDeliveries']['items'][number] {
  return {
    id: delivery.id,
    endpoint_id: delivery.endpointId,
    status: delivery.status === 'succeeded' ? 'delivered' : delivery.status,
    event_type: delivery.kind,
    attempt_count: delivery.attempts,
    response_status: delivery.responseStatus,
    error: delivery.error,
    created_at: isoTime(delivery.createdAt),
  };
}
