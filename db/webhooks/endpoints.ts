import { type Selectable, sql, type Updateable } from 'kysely';
import type { Clock } from '../../spec/time.ts';
import { StoreError } from '../errors.ts';
import type { EventKind } from '../events/kinds.ts';
import { type Actor, type Details, recordEvent } from '../events/record.ts';
import { randomDigits } from '../random.ts';
import type { WebhookEndpointsTable, WebhookFormat } from '../schema.ts';
import { type Db, inTransaction, type Trx } from '../store.ts';
import { Turns } from '../turns.ts';
import { forgetWanted } from './outbox.ts';

/** A URL that an owner's events are sent to. */
export type Endpoint = {
  id: string;
  ownerId: number;
  url: string;
  /** kinds of events; `vm.*` matches all that begin with `vm.`, `*` all there are */
  eventPatterns: string[];
  description: string | null;
  isEnabled: boolean;
  /** signs messages; in the clear, because signing needs the secret itself */
  secret: string;
  /** the previous secrets, newest first, which also sign messages until `oldSecretsUntil` */
  oldSecrets: string[];
  oldSecretsUntil: number;
  /** whether messages carry the sandbox's metadata */
  includesMetadata: boolean;
  /** how long the receiver may take to answer */
  timeoutSeconds: number;
  /** how often a failed message is sent again */
  maxRetries: number;
  format: WebhookFormat;
  /** the first failed attempt since the last success; null: none */
  failingSince: number | null;
  createdAt: number;
  updatedAt: number;
};

/** The part of an endpoint that its owner sets. */
export type EndpointSettings = Pick<
  Endpoint,
  'url' | 'eventPatterns' | 'description' | 'isEnabled' | 'includesMetadata' | 'timeoutSeconds' | 'maxRetries'
>;

/** A new endpoint; the owner cannot change its format later. */
export type NewEndpoint = EndpointSettings & Pick<Endpoint, 'secret' | 'format'>;

/** The most endpoints of one owner: recording an event checks each of them. */
const maxEndpoints = 50;

/**
 * Adds an endpoint and returns it. It gets events from now on. Throws StoreError `conflict` at the
 * limit.
 */
export async function createEndpoint(
  trx: Trx,
  now: number,
  by: Actor,
  { secret, format, ...settings }: NewEndpoint,
): Promise<Endpoint> {
  const { ownerId } = by;
  if ((await listEndpoints(trx, ownerId)).length >= maxEndpoints) {
    throw new StoreError('conflict', `There may be ${maxEndpoints} webhook endpoints at most`);
  }
  const id = `whe_${randomDigits()}`;
  await recordOfEndpoint(trx, now, by, id, 'webhook.created');
  forgetWanted(trx);
  await trx
    .insertInto('webhook_endpoints')
    .values({
      id,
      owner_id: ownerId,
      secret,
      format,
      old_secret: null,
      old_secret_until: null,
      created_at: now,
      updated_at: now,
      ...columnsOf(settings),
    })
    .execute();
  return getEndpoint(trx, ownerId, id);
}

/** Returns the owner's endpoints, oldest first. */
export async function listEndpoints(db: Db, ownerId: number): Promise<Endpoint[]> {
  const rows = db.selectFrom('webhook_endpoints').selectAll().where('owner_id', '=', ownerId);
  return (await rows.orderBy('created_at').orderBy('id').execute()).map(endpointOf);
}

/** Returns any owner's endpoint with this id; undefined if there is none. */
export async function findEndpoint(db: Db, id: string): Promise<Endpoint | undefined> {
  const row = await db.selectFrom('webhook_endpoints').selectAll().where('id', '=', id).executeTakeFirst();
  return row && endpointOf(row);
}

/**
 * Returns all owners' enabled endpoints that have pending deliveries, with the time of the next
 * attempt.
 */
export async function endpointsPending(db: Db): Promise<{ id: string; ownerId: number; nextAttemptAt: number }[]> {
  const endpoints = db
    .selectFrom('webhook_endpoints')
    .select((eb) => [
      'id',
      'owner_id as ownerId',
      eb
        .selectFrom('webhook_deliveries')
        .select(({ fn }) => fn.min<number>('next_attempt_at').as('next'))
        .whereRef('endpoint_id', '=', 'webhook_endpoints.id')
        .where('status', '=', sql.lit('pending' as const))
        .as('nextAttemptAt'),
    ])
    .where('enabled', '=', 1);
  const rows = await db
    .selectFrom(endpoints.as('endpoints'))
    .selectAll()
    .where('nextAttemptAt', 'is not', null)
    .execute();
  return rows as { id: string; ownerId: number; nextAttemptAt: number }[];
}

/** Returns the owner's endpoint. Throws StoreError `not_found`. */
export async function getEndpoint(db: Db, ownerId: number, id: string): Promise<Endpoint> {
  const row = await db
    .selectFrom('webhook_endpoints')
    .selectAll()
    .where('id', '=', id)
    .where('owner_id', '=', ownerId)
    .executeTakeFirst();
  if (!row) throw new StoreError('not_found', 'Webhook endpoint not found');
  return endpointOf(row);
}

/** Returns the owner's endpoint. Throws StoreError `not_found`, or `conflict` if it is disabled. */
export async function getEnabledEndpoint(db: Db, ownerId: number, id: string): Promise<Endpoint> {
  const endpoint = await getEndpoint(db, ownerId, id);
  if (endpoint.isEnabled) return endpoint;
  throw new StoreError('conflict', 'The webhook endpoint is disabled: enable it first');
}

/**
 * Changes the owner's endpoint and returns it. New patterns apply from now on. A new URL, or
 * enabling it again, clears the record of its failures. Throws StoreError `not_found`.
 */
export async function updateEndpoint(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  change: Partial<EndpointSettings>,
): Promise<Endpoint> {
  const before = await getEndpoint(trx, by.ownerId, id);
  await recordOfEndpoint(trx, now, by, id, 'webhook.updated');
  const after = { ...before, ...change };
  const isFresh = after.url !== before.url || (after.isEnabled && !before.isEnabled);
  await setColumns(trx, id, { updated_at: now, ...columnsOf(after), ...(isFresh && { failing_since: null }) });
  return getEndpoint(trx, by.ownerId, id);
}

/** The number of deliveries that one transaction deletes. */
const deletedAtOnce = 500;

/**
 * Disables the owner's endpoint, deletes its deliveries, then the endpoint, and records that.
 * Unlike other changes it opens its own transactions, each deleting a few hundred deliveries, so
 * that other requests run in between. A crash in between leaves the endpoint disabled.
 * Throws StoreError `not_found`.
 */
export async function deleteEndpoint(db: Db, now: Clock, by: Actor, id: string): Promise<void> {
  const turns = new Turns();
  await inTransaction(db, async (trx) => {
    await getEndpoint(trx, by.ownerId, id);
    await setColumns(trx, id, { enabled: 0 });
  });
  while (await inTransaction(db, (trx) => deleteDeliveries(trx, id))) await turns.next();
  await inTransaction(db, async (trx) => {
    await getEndpoint(trx, by.ownerId, id);
    await recordOfEndpoint(trx, now(), by, id, 'webhook.deleted');
    forgetWanted(trx);
    await trx.deleteFrom('webhook_endpoints').where('id', '=', id).execute();
  });
}

/** Deletes some of an endpoint's deliveries. Returns whether there may be more. */
async function deleteDeliveries(trx: Trx, endpointId: string): Promise<boolean> {
  const some = trx.selectFrom('webhook_deliveries').select('seq').where('endpoint_id', '=', endpointId);
  const { numDeletedRows } = await trx
    .deleteFrom('webhook_deliveries')
    .where('seq', 'in', some.limit(deletedAtOnce))
    .executeTakeFirst();
  return numDeletedRows >= deletedAtOnce;
}

export async function setColumns(trx: Trx, id: string, values: Updateable<WebhookEndpointsTable>): Promise<void> {
  forgetWanted(trx);
  await trx.updateTable('webhook_endpoints').set(values).where('id', '=', id).execute();
}

type WebhookEvent = EventKind & `webhook.${string}`;

/**
 * Records an event about an endpoint. It leaves out the URL, which may contain a secret of the
 * receiver.
 */
export async function recordOfEndpoint(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  kind: WebhookEvent,
  details: Details = {},
): Promise<void> {
  await recordEvent(trx, now, by, { kind, subject: id, sandboxId: null, details });
}

function columnsOf(settings: EndpointSettings) {
  const { url, eventPatterns, description, isEnabled, includesMetadata, timeoutSeconds, maxRetries } = settings;
  return {
    url,
    description,
    event_patterns: JSON.stringify(eventPatterns),
    enabled: isEnabled ? (1 as const) : (0 as const),
    include_metadata: includesMetadata ? (1 as const) : (0 as const),
    timeout_seconds: timeoutSeconds,
    max_retries: maxRetries,
  };
}

function endpointOf(row: Selectable<WebhookEndpointsTable>): Endpoint {
  return {
    id: row.id,
    ownerId: row.owner_id,
    url: row.url,
    eventPatterns: JSON.parse(row.event_patterns),
    description: row.description,
    isEnabled: row.enabled === 1,
    secret: row.secret,
    oldSecrets: row.old_secret?.split(' ') ?? [],
    oldSecretsUntil: row.old_secret_until ?? 0,
    includesMetadata: row.include_metadata === 1,
    timeoutSeconds: row.timeout_seconds,
    maxRetries: row.max_retries,
    format: row.format,
    failingSince: row.failing_since,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
