import { query } from '../prepared.ts';
import type { EventsTable } from '../schema.ts';
import type { Trx } from '../store.ts';
import { queueEvent } from '../webhooks/outbox.ts';
import type { EventKind } from './kinds.ts';

/** How a change was made. `keyId` is null without an API key, `requestId` outside of a request. */
export type Origin = { via: EventsTable['via']; keyId: number | null; requestId: string | null };

/**
 * The owner whose things are changed, and how. Every function that changes them takes one, to
 * record it.
 */
export type Actor = Origin & { ownerId: number };

export const cli: Origin = { via: 'cli', keyId: null, requestId: null };
export const sweeper: Origin = { via: 'sweeper', keyId: null, requestId: null };
export const dispatcher: Origin = { via: 'webhooks', keyId: null, requestId: null };

/**
 * What changed. Events outlive their subject, so details never contain env, settings, secrets or
 * metadata.
 */
export type Details = Record<string, string | number | string[] | null>;

export type NewEvent = { kind: EventKind; subject: string; sandboxId: string | null; details: Details };

/**
 * Records an event and queues it for the webhook endpoints that want it, in the transaction of the
 * change.
 */
export async function recordEvent(trx: Trx, now: number, by: Actor, event: NewEvent): Promise<void> {
  const { kind, subject, sandboxId, details } = event;
  const { ownerId } = by;
  const [inserted] = await insertEvent(trx, {
    at: now,
    kind,
    owner_id: ownerId,
    subject,
    sandbox_id: sandboxId,
    via: by.via,
    key_id: by.keyId,
    request_id: by.requestId,
    details: JSON.stringify(details),
  });
  if (inserted) await queueEvent(trx, { seq: inserted.seq, ownerId, kind });
}

export type SandboxEvent = { kind: EventKind & `vm.${string}`; details: Details };

/** Records an event about a sandbox, like `recordEvent`. */
export async function recordOfSandbox(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  { kind, details }: SandboxEvent,
): Promise<void> {
  await recordEvent(trx, now, by, { kind, subject: id, sandboxId: id, details });
}

type Row = Omit<EventsTable, 'seq' | 'session_id'>;

const insertEvent = query<Row, { seq: number }>((db, value) =>
  db
    .insertInto('events')
    .values((eb) => ({
      at: value('at'),
      kind: value('kind'),
      owner_id: value('owner_id'),
      subject: value('subject'),
      sandbox_id: value('sandbox_id'),
      via: value('via'),
      key_id: value('key_id'),
      request_id: value('request_id'),
      details: value('details'),
      session_id: eb
        .selectFrom('sandboxes')
        .select('sandboxes.session_id')
        .where('sandboxes.id', '=', value('sandbox_id')),
    }))
    .returning('seq'),
);
