import { type JsonObject, parseJson } from '../../db/json/json.ts';
import { randomDigits } from '../../db/random.ts';
import type { Endpoint } from '../../db/webhooks/endpoints.ts';
import type { QueuedEvent } from '../../db/webhooks/outbox.ts';
import { isoTime } from '../../spec/time.ts';
import { sandboxEvent, teamIdOf } from '../events/e2b.ts';
import { eventOf } from '../events/shape.ts';

/** The kind of a message that tests an endpoint. */
export const testKind = 'webhook.test';

/**
 * Returns an event's body (Standard Webhooks, "Payload structure"). InstaVM's receivers read
 * `event_type` and `vm_id`.
 */
export function composeStandard(queued: QueuedEvent, includesMetadata: boolean): string {
  const event = eventOf(queued.event);
  const metadata = { metadata: metadataOf(queued), metadata_omitted: queued.isMetadataTooLarge };
  return JSON.stringify({
    type: event.kind,
    timestamp: event.at,
    event_type: event.kind,
    ...(event.sandbox_id !== null && { vm_id: event.sandbox_id }),
    data: includesMetadata ? { ...event, ...metadata } : event,
  });
}

/** Returns an event's body as E2B's server sends it. */
export function composeE2b(queued: QueuedEvent, includesMetadata: boolean): string {
  const { event, templateId, isDeleted } = queued;
  const metadata = includesMetadata ? metadataOf(queued) : null;
  return JSON.stringify(sandboxEvent(event, { templateId, isDeleted, metadata }));
}

/** Returns the body of a message that tests an endpoint. */
export function composeTest({ id, ownerId, format }: Endpoint, now: number): string {
  const timestamp = isoTime(now);
  if (format === 'standard')
    return JSON.stringify({ type: testKind, timestamp, event_type: testKind, data: { endpoint_id: id } });
  const ids = { sandboxBuildId: '', sandboxExecutionId: '', sandboxId: '', sandboxTemplateId: '' };
  const event = { version: 'v1', id: `test_${randomDigits()}`, type: testKind, eventData: null };
  return JSON.stringify({ ...event, ...ids, sandboxTeamId: teamIdOf(ownerId), timestamp });
}

function metadataOf({ metadata }: QueuedEvent): JsonObject | null {
  return metadata === null ? null : (parseJson(metadata) as JsonObject);
}
