import { type Selectable, sql } from 'kysely';
import { StoreError } from '../errors.ts';
import { query } from '../prepared.ts';
import { randomDigits } from '../random.ts';
import type { DeliveryStatus, WebhookDeliveriesTable } from '../schema.ts';
import type { Db, Trx } from '../store.ts';
import { getEnabledEndpoint, listEndpoints } from './endpoints.ts';

/** A message to an endpoint, and its state. */
export type Delivery = {
  seq: number;
  /** identifies the message to its receiver; every attempt sends the same */
  id: string;
  endpointId: string;
  /** null: a test message */
  eventSeq: number | null;
  kind: string;
  body: string;
  status: DeliveryStatus;
  attempts: number;
  /** starts at 1; a resend starts the next round */
  round: number;
  /** null after it succeeded or failed for good */
  nextAttemptAt: number | null;
  lastAttemptAt: number | null;
  /** the status that the last attempt was answered with, if any */
  responseStatus: number | null;
  /** why the last attempt got no answer */
  error: string | null;
  createdAt: number;
};

export type Message = Pick<Delivery, 'eventSeq' | 'kind' | 'body'>;

/** Adds a message that is due at once. Returns its id. */
export async function addDelivery(trx: Trx, now: number, endpointId: string, message: Message): Promise<string> {
  const id = `msg_${randomDigits()}`;
  await insertDelivery(trx, { id, endpointId, now, ...message });
  return id;
}

/** Returns messages to an endpoint that are due, the longest-waiting first. */
export async function dueDeliveries(db: Db, now: number, endpointId: string, limit: number): Promise<Delivery[]> {
  return (await selectDue(db, { endpointId, now, limit })).map(deliveryOf);
}

/**
 * Returns when the next message to an endpoint that is not due yet will be; Infinity if there is
 * none.
 */
export async function nextDue(db: Db, now: number, endpointId: string): Promise<number> {
  const [row] = await selectNext(db, { endpointId, now });
  return row?.time ?? Number.POSITIVE_INFINITY;
}

export type Attempt = Pick<Delivery, 'status' | 'nextAttemptAt' | 'responseStatus' | 'error'>;

/**
 * Records the result of an attempt. If a resend was requested in between, the message stays due
 * instead.
 */
export async function recordAttempt(
  trx: Trx,
  now: number,
  { id, round }: Pick<Delivery, 'id' | 'round'>,
  attempt: Attempt,
): Promise<void> {
  await updateAttempted(trx, { id, round, now, ...attempt });
}

export type DeliveryQuery = {
  endpointId?: string;
  status?: DeliveryStatus;
  kind?: string;
  before?: number;
  limit: number;
};

const allStatuses: DeliveryStatus[] = ['pending', 'succeeded', 'failed'];

/**
 * Returns the owner's messages, newest first. SQLite merges ranges of an index, one per endpoint
 * and status, and stops reading at the limit.
 */
export async function listDeliveries(db: Db, ownerId: number, wanted: DeliveryQuery): Promise<Delivery[]> {
  const { endpointId, status, limit } = wanted;
  const own = (await listEndpoints(db, ownerId)).map(({ id }) => id);
  const endpoints = endpointId === undefined ? own : own.filter((id) => id === endpointId);
  const statuses = status === undefined ? allStatuses : [status];
  const [first, ...others] = endpoints.flatMap((id) => statuses.map((status) => seqsOf(db, id, status, wanted)));
  if (!first) return [];
  const seqs = others
    .reduce((all, range) => all.unionAll(range), first)
    .orderBy('seq', 'desc')
    .limit(limit);
  const rows = db.selectFrom('webhook_deliveries').selectAll().where('seq', 'in', seqs);
  return (await rows.orderBy('seq', 'desc').execute()).map(deliveryOf);
}

function seqsOf(db: Db, endpointId: string, status: DeliveryStatus, { kind, before }: DeliveryQuery) {
  return db
    .selectFrom('webhook_deliveries')
    .select('seq')
    .where('endpoint_id', '=', endpointId)
    .where('status', '=', status)
    .$if(kind !== undefined, (q) => q.where('kind', '=', kind as string))
    .$if(before !== undefined, (q) => q.where('seq', '<', before as number));
}

/** Returns the owner's message. Throws StoreError `not_found`. */
export async function getDelivery(db: Db, ownerId: number, id: string): Promise<Delivery> {
  const row = await ownDeliveries(db, ownerId).where('webhook_deliveries.id', '=', id).executeTakeFirst();
  if (!row) throw new StoreError('not_found', 'Webhook delivery not found');
  return deliveryOf(row);
}

/**
 * Makes the owner's message due again, with the retries of a new one. Returns it.
 * Throws StoreError `not_found`, or `conflict` if its endpoint is disabled.
 */
export async function resendDelivery(trx: Trx, now: number, ownerId: number, id: string): Promise<Delivery> {
  await getEnabledEndpoint(trx, ownerId, (await getDelivery(trx, ownerId, id)).endpointId);
  await trx
    .updateTable('webhook_deliveries')
    .set((eb) => ({ status: 'pending', attempts: 0, round: eb('round', '+', 1), next_attempt_at: now }))
    .where('id', '=', id)
    .execute();
  return getDelivery(trx, ownerId, id);
}

/**
 * Deletes at most `limit` messages of any status created before a time, oldest first. Returns how
 * many.
 */
export async function deleteDeliveries(trx: Trx, before: number, limit: number): Promise<number> {
  const { numDeletedRows } = await trx
    .deleteFrom('webhook_deliveries')
    .where('seq', 'in', (eb) =>
      eb
        .selectFrom('webhook_deliveries')
        .select('seq')
        .where('created_at', '<', before)
        .orderBy('created_at')
        .limit(limit),
    )
    .executeTakeFirst();
  return Number(numDeletedRows);
}

function ownDeliveries(db: Db, ownerId: number) {
  return db
    .selectFrom('webhook_deliveries')
    .innerJoin('webhook_endpoints', 'webhook_endpoints.id', 'endpoint_id')
    .selectAll('webhook_deliveries')
    .where('owner_id', '=', ownerId);
}

function deliveryOf(row: Selectable<WebhookDeliveriesTable>): Delivery {
  return {
    seq: row.seq,
    id: row.id,
    endpointId: row.endpoint_id,
    eventSeq: row.event_seq,
    kind: row.kind,
    body: row.body,
    status: row.status,
    attempts: row.attempts,
    round: row.round,
    nextAttemptAt: row.next_attempt_at,
    lastAttemptAt: row.last_attempt_at,
    responseStatus: row.response_status,
    error: row.error,
    createdAt: row.created_at,
  };
}

const insertDelivery = query<Message & { id: string; endpointId: string; now: number }, unknown>((db, value) =>
  db.insertInto('webhook_deliveries').values({
    id: value('id'),
    endpoint_id: value('endpointId'),
    event_seq: value('eventSeq'),
    kind: value('kind'),
    body: value('body'),
    status: 'pending',
    attempts: 0,
    round: 1,
    next_attempt_at: value('now'),
    last_attempt_at: null,
    response_status: null,
    error: null,
    created_at: value('now'),
  }),
);

const selectDue = query<{ endpointId: string; now: number; limit: number }, Selectable<WebhookDeliveriesTable>>(
  (db, value) =>
    db
      .selectFrom('webhook_deliveries')
      .selectAll()
      .where('endpoint_id', '=', value('endpointId'))
      .where('status', '=', sql.lit('pending' as const))
      .where('next_attempt_at', '<=', value('now'))
      .orderBy('next_attempt_at')
      .orderBy('seq')
      .limit(value('limit')),
);

const selectNext = query<{ endpointId: string; now: number }, { time: number | null }>((db, value) =>
  db
    .selectFrom('webhook_deliveries')
    .select('next_attempt_at as time')
    .where('endpoint_id', '=', value('endpointId'))
    .where('status', '=', sql.lit('pending' as const))
    .where('next_attempt_at', '>', value('now'))
    .orderBy('next_attempt_at')
    .limit(1),
);

const updateAttempted = query<Attempt & { id: string; round: number; now: number }, unknown>((db, value) =>
  db
    .updateTable('webhook_deliveries')
    .set((eb) => ({
      status: value('status'),
      attempts: eb('attempts', '+', 1),
      next_attempt_at: value('nextAttemptAt'),
      last_attempt_at: value('now'),
      response_status: value('responseStatus'),
      error: value('error'),
    }))
    .where('id', '=', value('id'))
    .where('round', '=', value('round')),
);
