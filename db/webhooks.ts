import type { Selectable } from 'kysely';
import { StoreError } from './errors.ts';
import type { EventKind } from './event-kinds.ts';
import { boundsOf } from './event-log.ts';
import { type Actor, dispatcher, recordEvent } from './events.ts';
import { randomDigits } from './insert.ts';
import type { WebhookEndpointsTable } from './schema.ts';
import type { Db, Trx } from './sqlite.ts';

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
  /** events up to this one have their deliveries */
  seenSeq: number;
  /** what was wanted of the events behind that, up to each place, before it was what is wanted now */
  oldPatterns: { patterns: string[]; until: number }[];
  createdAt: number;
  updatedAt: number;
};

export type EndpointChange = Partial<Pick<Endpoint, 'url' | 'eventPatterns' | 'description' | 'isEnabled'>>;

/** So many has one owner at most: every event is looked at for each of them. */
const maxEndpoints = 50;

/** So many secrets sign beside the present one at most: each makes every message longer. */
const maxOldSecrets = 9;

/** So many changes of what is wanted are told apart at most, for an endpoint that the log is far ahead of. */
const maxOldPatterns = 20;

/** Adds an endpoint and returns it: it gets what happens from now on. Throws StoreError `conflict` past the most there may be. */
export async function createEndpoint(
  trx: Trx,
  now: number,
  by: Actor,
  endpoint: Pick<Endpoint, 'url' | 'eventPatterns' | 'description' | 'isEnabled' | 'secret'>,
): Promise<Endpoint> {
  const { ownerId } = by;
  if ((await listEndpoints(trx, ownerId)).length >= maxEndpoints) {
    throw new StoreError('conflict', `There may be ${maxEndpoints} webhook endpoints at most`);
  }
  const id = `whe_${randomDigits()}`;
  const { url, description, secret } = endpoint;
  await record(trx, now, by, id, 'webhook.created');
  await trx
    .insertInto('webhook_endpoints')
    .values({
      ...{ id, owner_id: ownerId, url, description, secret, created_at: now, updated_at: now },
      event_patterns: JSON.stringify(endpoint.eventPatterns),
      enabled: endpoint.isEnabled ? 1 : 0,
      old_secret: null,
      old_secret_until: null,
      seen_seq: (await boundsOf(trx)).last,
      old_patterns: '[]',
    })
    .execute();
  return getEndpoint(trx, ownerId, id);
}

/** Returns the owner's endpoints, oldest first. */
export async function listEndpoints(db: Db, ownerId: number): Promise<Endpoint[]> {
  const rows = db.selectFrom('webhook_endpoints').selectAll().where('owner_id', '=', ownerId);
  return (await rows.orderBy('created_at').orderBy('id').execute()).map(endpointOf);
}

/** Returns everybody's endpoints that want, or wanted, events that they have not seen, and the owner's newest event. */
export async function endpointsBehind(db: Db): Promise<{ id: string; newestSeq: number }[]> {
  const endpoints = db
    .selectFrom('webhook_endpoints')
    .select((eb) => [
      'id',
      'seen_seq',
      eb
        .selectFrom('events')
        .select(({ fn }) => fn.max<number>('seq').as('seq'))
        .whereRef('events.owner_id', '=', 'webhook_endpoints.owner_id')
        .as('newestSeq'),
    ])
    .where(({ or, eb }) => or([eb('enabled', '=', 1), eb('old_patterns', '<>', '[]')]));
  const rows = db.selectFrom(endpoints.as('endpoints')).select(['id', 'newestSeq']);
  return (await rows.whereRef('seen_seq', '<', 'newestSeq').execute()) as { id: string; newestSeq: number }[];
}

/** Returns the endpoint, whosoever it is, if it is there. */
export async function findEndpoint(db: Db, id: string): Promise<Endpoint | undefined> {
  const row = await db.selectFrom('webhook_endpoints').selectAll().where('id', '=', id).executeTakeFirst();
  return row && endpointOf(row);
}

/** Returns what an endpoint wants of the next events that it has not seen, and up to which place; null when it wants no more. */
export function wantedNext(endpoint: Endpoint): { patterns: string[]; until: number } | null {
  const [before] = endpoint.oldPatterns;
  if (before) return before;
  return endpoint.isEnabled ? { patterns: endpoint.eventPatterns, until: Number.POSITIVE_INFINITY } : null;
}

/** Notes that an endpoint has its deliveries of the events up to a place. */
export async function noteSeen(trx: Trx, { id, oldPatterns }: Endpoint, seq: number): Promise<void> {
  const pending = oldPatterns.filter(({ until }) => until > seq);
  await set(trx, id, { seen_seq: seq, old_patterns: JSON.stringify(pending) });
}

/** Returns everybody's enabled endpoints that messages are due to, by id. */
export async function endpointsDue(db: Db, now: number): Promise<Endpoint[]> {
  const rows = await enabledEndpoints(db)
    .where(({ exists, selectFrom }) =>
      exists(
        selectFrom('webhook_deliveries')
          .select('seq')
          .whereRef('endpoint_id', '=', 'webhook_endpoints.id')
          .where('status', '=', 'pending')
          .where('next_attempt_at', '<=', now),
      ),
    )
    .orderBy('id')
    .execute();
  return rows.map(endpointOf);
}

function enabledEndpoints(db: Db) {
  return db.selectFrom('webhook_endpoints').selectAll().where('enabled', '=', 1);
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
 * Changes the owner's endpoint and returns it. What it wants counts from now on: what happened before is sent as it was wanted
 * then, though nobody has looked at it yet. Throws as getEndpoint.
 */
export async function updateEndpoint(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  { url, eventPatterns, description, isEnabled }: EndpointChange,
): Promise<Endpoint> {
  const before = await getEndpoint(trx, by.ownerId, id);
  await record(trx, now, by, id, 'webhook.updated');
  await set(trx, id, {
    updated_at: now,
    ...(url !== undefined && { url }),
    ...(eventPatterns && { event_patterns: JSON.stringify(eventPatterns) }),
    ...(description !== undefined && { description }),
    ...(isEnabled !== undefined && { enabled: isEnabled ? 1 : 0 }),
    ...((eventPatterns || isEnabled !== undefined) && { old_patterns: await patternsUntilNow(trx, before) }),
  });
  return getEndpoint(trx, by.ownerId, id);
}

/** Returns `old_patterns` for an endpoint that has wanted up to the end of the log what it wants, and will no longer. */
async function patternsUntilNow(trx: Trx, { oldPatterns, isEnabled, eventPatterns }: Endpoint): Promise<string> {
  const until = (await boundsOf(trx)).last;
  const patterns = isEnabled ? eventPatterns : [];
  const [last] = oldPatterns.slice(maxOldPatterns - 1);
  // Rather more is sent than less.
  const merged = last && { patterns: [...new Set([...last.patterns, ...patterns])], until };
  return JSON.stringify([...oldPatterns.slice(0, maxOldPatterns - 1), merged ?? { patterns, until }]);
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

/** Has an endpoint get nothing more, its receiver being gone for good; unless it is another by now, disabled or deleted. */
export async function disableEndpoint(
  trx: Trx,
  now: number,
  { id, ownerId, url }: Pick<Endpoint, 'id' | 'ownerId' | 'url'>,
): Promise<void> {
  const before = await findEndpoint(trx, id);
  if (!before?.isEnabled || before.url !== url) return;
  await record(trx, now, { ...dispatcher, ownerId }, id, 'webhook.disabled');
  await set(trx, id, { enabled: 0, updated_at: now, old_patterns: await patternsUntilNow(trx, before) });
}

/** As getEndpoint. Throws StoreError `conflict` as well, when nothing is sent to it. */
export async function getEnabledEndpoint(db: Db, ownerId: number, id: string): Promise<Endpoint> {
  const endpoint = await getEndpoint(db, ownerId, id);
  if (endpoint.isEnabled) return endpoint;
  throw new StoreError('conflict', 'The webhook endpoint is disabled: enable it first');
}

/** Deletes the owner's endpoint with all its deliveries. Throws as getEndpoint. */
export async function deleteEndpoint(trx: Trx, now: number, by: Actor, id: string): Promise<void> {
  await getEndpoint(trx, by.ownerId, id);
  await record(trx, now, by, id, 'webhook.deleted');
  await trx.deleteFrom('webhook_endpoints').where('id', '=', id).execute();
}

async function set(trx: Trx, id: string, values: Partial<WebhookEndpointsTable>): Promise<void> {
  await trx.updateTable('webhook_endpoints').set(values).where('id', '=', id).execute();
}

type WebhookEvent = EventKind & `webhook.${string}`;

/** The URL is left out: it may hold a secret of its receiver's. */
async function record(trx: Trx, now: number, by: Actor, id: string, kind: WebhookEvent): Promise<void> {
  await recordEvent(trx, now, by, { kind, subject: id, sandboxId: null, details: {} });
}

function endpointOf(row: Selectable<WebhookEndpointsTable>): Endpoint {
  return {
    ...{ id: row.id, ownerId: row.owner_id, url: row.url, description: row.description },
    eventPatterns: JSON.parse(row.event_patterns),
    isEnabled: row.enabled === 1,
    secret: row.secret,
    ...{ oldSecrets: row.old_secret?.split(' ') ?? [], oldSecretsUntil: row.old_secret_until ?? 0 },
    ...{ seenSeq: row.seen_seq, oldPatterns: JSON.parse(row.old_patterns) },
    ...{ createdAt: row.created_at, updatedAt: row.updated_at },
  };
}
