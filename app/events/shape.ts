import { isFailure } from '../../db/events/kinds.ts';
import type { Event } from '../../db/events/log.ts';
import { sessionOf } from '../../db/sessions/session-id.ts';
import { isoTime } from '../../spec/time.ts';
import type { components } from '../../spec/types.gen.ts';

type Schemas = components['schemas'];

/** Returns `Event` of the contract. */
export function eventOf(event: Event): Schemas['Event'] {
  const { seq, at, kind, subject, sandboxId, via, keyId, keyPrefix, requestId, details } = event;
  return {
    event_id: eventId(seq),
    kind,
    at: isoTime(at),
    status: statusOf(kind),
    subject,
    sandbox_id: sandboxId,
    actor: { via, key_id: keyId, key_prefix: keyPrefix },
    request_id: requestId,
    details: JSON.parse(details),
  };
}

/** Returns `AuditEvent` of the contract: the event under the names that InstaVM's clients read. */
export function auditEventOf(event: Event): Schemas['AuditEvent'] {
  const { seq, at, kind, subject, sandboxId, sessionId, via, keyPrefix } = event;
  const [group, details] = [groupOf(kind), JSON.parse(event.details)];
  return {
    id: eventId(seq),
    created_at: isoTime(at),
    status: statusOf(kind),
    event_type: kind,
    event_group: group,
    vm_id: sandboxId,
    session_id: sandboxId === null ? null : sessionOf({ id: sandboxId, sessionId }),
    actor_type: via,
    actor_id: keyPrefix,
    resource_type: group,
    resource_id: subject,
    event_payload: details,
    error_message: isFailure(kind) ? details.message : null,
  };
}

/** Returns whether an event reports something that was done, or that failed. */
export function statusOf(kind: string): 'success' | 'failure' {
  return isFailure(kind) ? 'failure' : 'success';
}

/** Returns the part of a kind before the full stop. */
export function groupOf(kind: string): string {
  return kind.replace(/\..*/, '');
}

/** Returns the id by which clients know the event with this sequence number. */
export function eventId(seq: number): string {
  return `evt_${seq}`;
}

/** Returns the sequence number in an event's id; null for a text that is not an event's id. */
export function seqOf(id: string): number | null {
  const [, digits] = /^evt_([1-9]\d{0,14})$/.exec(id) ?? [];
  return digits === undefined ? null : Number(digits);
}

/**
 * Returns the sequence number after which a client resumes a stream; null unless it sends one. It
 * sends the last event's `id` or `event_id` in the header `Last-Event-ID` or, if it can't set
 * headers, in the query. An empty text counts as none (WHATWG HTML, 9.2.4).
 */
export function lastEventSeq(header: string | undefined, query: string | undefined): number | null {
  const given = header || query;
  return given ? Number(given.replace('evt_', '')) : null;
}
