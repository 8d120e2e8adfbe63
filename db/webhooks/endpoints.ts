import { type Selectable, sql, type Updateable } from 'kysely';
import { type Clock, isoTime } from '../../spec/time.ts';
import { StoreError } from '../errors.ts';
import type { EventKind } from '../events/kinds.ts';
import { type Actor, type Details, dispatcher, recordEvent } from '../events/record.ts';
import { randomDigits } from '../random.ts';
import type { WebhookEndpointsTable } from '../schema.ts';
import { type Db, inTransaction, type Trx } from '../store.ts';
import { Turns } from '../turns.ts';
import { forgetWanted } from './outbox.ts';

/** Where an owner's events are sent to. */
export type Endpoint = {
  id: string;
  ownerId: number;
  url: string;
  /** kinds, `vm.*` for all that begin with `vm.`, `*` for all there are */
  eventPatterns: string[];
  description: string | null;
  isEnabled: boolean;
  /** what messages are signed with, in the clear: it takes the secret itself to sign */
  secret: string;
  /** what was signed with before, the last first, as well until then */
  oldSecrets: string[];
  oldSecretsUntil: number;
  /** whether messages carry the sandbox's metadata */
  includesMetadata: boolean;
  /** when the first attempt failed since one succeeded; null: none has */
  failingSince: number | null;
  createdAt: number;
  updatedAt: number;
};

/** What its owner says of an endpoint. */
export type EndpointSettings = Pick<
  Endpoint,
  'url' | 'eventPatterns' | 'description' | 'isEnabled' | 'includesMetadata'
>;

/** So many has one owner at most: every event is looked at for each of them. */
const maxEndpoints = 50;

/** So many secrets sign beside the present one at most: each makes every message longer. */
const maxOldSecrets = 9;

/** An endpoint that has taken nothing for this long, failing attempts aside, is disabled: five days, two more than retries take. */
const maxFailingMilliseconds = 5 * 86_400_000;

/** Adds an endpoint and returns it: it gets what happens from now on. Throws StoreError `conflict` past the most there may be. */
export async function createEndpoint(
  trx: Trx,
  now: number,
  by: Actor,
  { secret, ...settings }: EndpointSettings & Pick<Endpoint, 'secret'>,
): Promise<Endpoint> {
  const { ownerId } = by;
  if ((await listEndpoints(trx, ownerId)).length >= maxEndpoints) {
    throw new StoreError('conflict', `There may be ${maxEndpoints} webhook endpoints at most`);
  }
  const id = `whe_${randomDigits()}`;
  await record(trx, now, by, id, 'webhook.created');
  forgetWanted(trx);
  await trx
    .insertInto('webhook_endpoints')
    .values({
      ...{ id, owner_id: ownerId, secret, old_secret: null, old_secret_until: null },
      ...{ created_at: now, updated_at: now },
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

/** Returns the endpoint, whosoever it is, if it is there. */
export async function findEndpoint(db: Db, id: string): Promise<Endpoint | undefined> {
  const row = await db.selectFrom('webhook_endpoints').selectAll().where('id', '=', id).executeTakeFirst();
  return row && endpointOf(row);
}

/** Returns everybody's enabled endpoints that have a message to be sent, with the time of the first. */
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

/**
 * Changes the owner's endpoint and returns it. What it wants counts from now on. With another URL, or enabled again, its
 * failures so far no longer count. Throws as getEndpoint.
 */
export async function updateEndpoint(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  change: Partial<EndpointSettings>,
): Promise<Endpoint> {
  const before = await getEndpoint(trx, by.ownerId, id);
  await record(trx, now, by, id, 'webhook.updated');
  const after = { ...before, ...change };
  const isFresh = after.url !== before.url || (after.isEnabled && !before.isEnabled);
  await set(trx, id, { updated_at: now, ...columnsOf(after), ...(isFresh && { failing_since: null }) });
  return getEndpoint(trx, by.ownerId, id);
}

/**
 * Has the owner's endpoint sign with a new secret and, until a time, with those before as well that it has signed with so far.
 * Returns it. Throws as getEndpoint.
 */
export async function rotateSecret(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  { secret, oldSecretsUntil }: { secret: string; oldSecretsUntil: number },
): Promise<Endpoint> {
  const old = secretsOf(await getEndpoint(trx, by.ownerId, id), now).slice(0, maxOldSecrets);
  await record(trx, now, by, id, 'webhook.secret_rotated');
  await set(trx, id, { secret, old_secret: old.join(' '), old_secret_until: oldSecretsUntil, updated_at: now });
  return getEndpoint(trx, by.ownerId, id);
}

/** Returns what messages to an endpoint are signed with: while one secret takes another's place a receiver may know either. */
export function secretsOf({ secret, oldSecrets, oldSecretsUntil }: Endpoint, now: number): string[] {
  return now < oldSecretsUntil ? [secret, ...oldSecrets] : [secret];
}

/** Notes that an endpoint took a message. */
export async function noteSuccess(trx: Trx, id: string): Promise<void> {
  await trx
    .updateTable('webhook_endpoints')
    .set({ failing_since: null })
    .where('id', '=', id)
    .where('failing_since', 'is not', null)
    .execute();
}

/**
 * Notes that an attempt failed, and disables the endpoint when it has taken nothing for too long. Does nothing when it
 * has another URL by now, or is disabled or deleted.
 */
export async function noteFailure(trx: Trx, now: number, { id, url }: Pick<Endpoint, 'id' | 'url'>): Promise<void> {
  const endpoint = await findEndpoint(trx, id);
  if (!endpoint?.isEnabled || endpoint.url !== url) return;
  const { failingSince } = endpoint;
  if (failingSince === null) return set(trx, id, { failing_since: now });
  if (now - failingSince < maxFailingMilliseconds) return;
  await disable(trx, now, endpoint, { reason: 'failing', failing_since: isoTime(failingSince) });
}

/** Disables an endpoint because its receiver wants no more messages; unless it has another URL by now, or is disabled or deleted. */
export async function disableEndpoint(trx: Trx, now: number, { id, url }: Pick<Endpoint, 'id' | 'url'>): Promise<void> {
  const endpoint = await findEndpoint(trx, id);
  if (endpoint?.isEnabled && endpoint.url === url) await disable(trx, now, endpoint, { reason: 'gone' });
}

async function disable(trx: Trx, now: number, { id, ownerId }: Endpoint, details: Details): Promise<void> {
  await set(trx, id, { enabled: 0, updated_at: now });
  // Afterwards: the owner's other endpoints are told of it.
  await record(trx, now, { ...dispatcher, ownerId }, id, 'webhook.disabled', details);
}

/** As getEndpoint. Throws StoreError `conflict` as well, when nothing is sent to it. */
export async function getEnabledEndpoint(db: Db, ownerId: number, id: string): Promise<Endpoint> {
  const endpoint = await getEndpoint(db, ownerId, id);
  if (endpoint.isEnabled) return endpoint;
  throw new StoreError('conflict', 'The webhook endpoint is disabled: enable it first');
}

/** How many deliveries one transaction deletes. */
const deletedAtOnce = 500;

/**
 * Disables an endpoint, deletes its deliveries a few hundred in each transaction, then deletes it and records that: other
 * requests go on meanwhile. A crash in between leaves the endpoint disabled. Throws as getEndpoint.
 */
export async function deleteEndpoint(db: Db, now: Clock, by: Actor, id: string): Promise<void> {
  const turns = new Turns();
  await inTransaction(db, async (trx) => {
    await getEndpoint(trx, by.ownerId, id);
    await set(trx, id, { enabled: 0 });
  });
  while (await inTransaction(db, (trx) => deleteDeliveries(trx, id))) await turns.next();
  await inTransaction(db, async (trx) => {
    await getEndpoint(trx, by.ownerId, id);
    await record(trx, now(), by, id, 'webhook.deleted');
    forgetWanted(trx);
    await trx.deleteFrom('webhook_endpoints').where('id', '=', id).execute();
  });
}

/** Deletes some of an endpoint's deliveries; returns whether there may be more. */
async function deleteDeliveries(trx: Trx, endpointId: string): Promise<boolean> {
  const some = trx.selectFrom('webhook_deliveries').select('seq').where('endpoint_id', '=', endpointId);
  const { numDeletedRows } = await trx
    .deleteFrom('webhook_deliveries')
    .where('seq', 'in', some.limit(deletedAtOnce))
    .executeTakeFirst();
  return numDeletedRows >= deletedAtOnce;
}

function columnsOf({ url, eventPatterns, description, isEnabled, includesMetadata }: EndpointSettings) {
  return {
    ...{ url, description, event_patterns: JSON.stringify(eventPatterns) },
    ...{
      enabled: isEnabled ? (1 as const) : (0 as const),
      include_metadata: includesMetadata ? (1 as const) : (0 as const),
    },
  };
}

async function set(trx: Trx, id: string, values: Updateable<WebhookEndpointsTable>): Promise<void> {
  forgetWanted(trx);
  await trx.updateTable('webhook_endpoints').set(values).where('id', '=', id).execute();
}

type WebhookEvent = EventKind & `webhook.${string}`;

/** The URL is left out: it may hold a secret of its receiver's. */
async function record(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  kind: WebhookEvent,
  details: Details = {},
): Promise<void> {
  await recordEvent(trx, now, by, { kind, subject: id, sandboxId: null, details });
}

function endpointOf(row: Selectable<WebhookEndpointsTable>): Endpoint {
  return {
    ...{ id: row.id, ownerId: row.owner_id, url: row.url, description: row.description },
    eventPatterns: JSON.parse(row.event_patterns),
    isEnabled: row.enabled === 1,
    secret: row.secret,
    ...{ oldSecrets: row.old_secret?.split(' ') ?? [], oldSecretsUntil: row.old_secret_until ?? 0 },
    ...{ includesMetadata: row.include_metadata === 1, failingSince: row.failing_since },
    ...{ createdAt: row.created_at, updatedAt: row.updated_at },
  };
}
