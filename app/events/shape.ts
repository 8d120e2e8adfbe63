import type { Event } from '../../db/events/log.ts';
import { isoTime } from '../../spec/time.ts';
import type { components } from '../../spec/types.gen.ts';

type Schemas = components['schemas'];

/** Returns `Event` of the contract. */
export function eventOf(event: Event): Schemas['Event'] {
  const { seq, at, kind, subject, sandboxId, via, keyId, keyPrefix, requestId, details } = event;
  return {
    ...{ event_id: eventId(seq), kind, at: isoTime(at), status: 'success', subject, sandbox_id: sandboxId },
    actor: { via, key_id: keyId, key_prefix: keyPrefix },
    ...{ request_id: requestId, details: JSON.parse(details) },
  };
}

/** Returns the name that an event has for callers. */
export function eventId(seq: number): string {
  return `evt_${seq}`;
}

/** Returns the place of the event that a caller names; null when it is no event's name. */
export function seqOf(id: string): number | null {
  const [, digits] = /^evt_([1-9]\d{0,14})$/.exec(id) ?? [];
  return digits === undefined ? null : Number(digits);
}

/**
 * Returns the place that a client says it has read to, in `Last-Event-ID` or, as not every client can set a header,
 * `last_event_id`, as the event's `id` or its `event_id`; null when it doesn't say, which an empty one doesn't
 * (WHATWG HTML, 9.2.4).
 */
export function placeIn(header: string | undefined, query: string | undefined): number | null {
  const given = header || query;
  return given ? Number(given.replace('evt_', '')) : null;
}
