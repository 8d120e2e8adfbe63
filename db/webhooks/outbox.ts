import { matchesKind } from '../events/kinds.ts';
import type { Event } from '../events/log.ts';
import { query } from '../prepared.ts';
import type { Db, Trx } from '../store.ts';

/** An event that has no deliveries yet. */
export type QueuedEvent = {
  event: Event;
  /** the ids of the endpoints that wanted it when it was recorded */
  endpoints: string[];
  /**
   * JSON text of its sandbox's metadata; null if there is no sandbox any more or the text is too
   * large
   */
  metadata: string | null;
  isMetadataTooLarge: boolean;
  /** the template of its sandbox; null without one */
  templateId: string | null;
  /** whether there is no sandbox any more */
  isDeleted: boolean;
};

/**
 * Caches, per transaction, which of an owner's endpoints want a kind, so that a bulk change looks
 * it up once.
 */
const wanted = new WeakMap<Trx, Map<string, string | null>>();

/**
 * Queues an event for the owner's endpoints that want its kind, in the transaction that records
 * it.
 */
export async function queueEvent(
  trx: Trx,
  { seq, ownerId, kind }: { seq: number; ownerId: number; kind: string },
): Promise<void> {
  const memo = wanted.get(trx) ?? new Map<string, string | null>();
  wanted.set(trx, memo);
  const key = `${ownerId} ${kind}`;
  const known = memo.get(key);
  const endpoints = known === undefined ? await endpointsWanting(trx, ownerId, kind) : known;
  memo.set(key, endpoints);
  if (endpoints !== null) await insertQueued(trx, { seq, ownerId, endpoints });
}

/** Clears the cache. Call it when a transaction changes what endpoints want. */
export function forgetWanted(trx: Trx): void {
  wanted.delete(trx);
}

async function endpointsWanting(trx: Trx, ownerId: number, kind: string): Promise<string | null> {
  const enabled = await selectEnabled(trx, { ownerId });
  const wanting = enabled.filter(({ event_patterns: patterns }) =>
    (JSON.parse(patterns) as string[]).some((pattern) => matchesKind(pattern, kind)),
  );
  return wanting.length > 0 ? JSON.stringify(wanting.map(({ id }) => id)) : null;
}

/** Returns the lowest owner id above `after` that has queued events; undefined if there is none. */
export async function nextQueuedOwner(db: Db, after: number): Promise<number | undefined> {
  const [row] = await selectNextOwner(db, { after });
  return row?.ownerId;
}

/**
 * Returns at most `limit` of the owner's queued events, oldest first. Leaves out metadata over
 * `maxMetadataBytes`.
 */
export async function queuedEvents(
  trx: Trx,
  ownerId: number,
  { limit, maxMetadataBytes }: { limit: number; maxMetadataBytes: number },
): Promise<QueuedEvent[]> {
  const rows = await selectQueued(trx, { ownerId, limit, maxMetadataBytes });
  return rows.map(({ endpoints, metadata, isTooLarge, templateId, foundId, ...event }) => ({
    event,
    endpoints: JSON.parse(endpoints),
    metadata,
    isMetadataTooLarge: isTooLarge === 1,
    templateId,
    isDeleted: foundId === null,
  }));
}

/** Removes the owner's queued events up to a sequence number, once they have deliveries. */
export async function removeQueued(trx: Trx, ownerId: number, seq: number): Promise<void> {
  await deleteQueued(trx, { ownerId, seq });
}

/** Returns the number of deliveries that all owners' queued events will become. */
export async function countQueued(db: Db): Promise<number> {
  const { count } = await db
    .selectFrom('webhook_outbox')
    .select(({ fn }) => fn.sum<number | null>(fn('json_array_length', ['endpoints'])).as('count'))
    .executeTakeFirstOrThrow();
  return count ?? 0;
}

const selectEnabled = query<{ ownerId: number }, { id: string; event_patterns: string }>((db, value) =>
  db
    .selectFrom('webhook_endpoints')
    .select(['id', 'event_patterns'])
    .where('owner_id', '=', value('ownerId'))
    .where('enabled', '=', 1),
);

const insertQueued = query<{ seq: number; ownerId: number; endpoints: string }, unknown>((db, value) =>
  db
    .insertInto('webhook_outbox')
    .values({ event_seq: value('seq'), owner_id: value('ownerId'), endpoints: value('endpoints') }),
);

const selectNextOwner = query<{ after: number }, { ownerId: number }>((db, value) =>
  db
    .selectFrom('webhook_outbox')
    .select('owner_id as ownerId')
    .where('owner_id', '>', value('after'))
    .orderBy('owner_id')
    .limit(1),
);

type QueuedRow = Event & {
  endpoints: string;
  metadata: string | null;
  isTooLarge: 0 | 1 | null;
  templateId: string | null;
  foundId: string | null;
};

/** SQLite computes the `octet_length` of a stored text without reading the text. */
const selectQueued = query<{ ownerId: number; limit: number; maxMetadataBytes: number }, QueuedRow>((db, value) =>
  db
    .selectFrom('webhook_outbox')
    .innerJoin('events', 'seq', 'event_seq')
    .leftJoin('api_keys', 'api_keys.id', 'key_id')
    .leftJoin('sandboxes', 'sandboxes.id', 'sandbox_id')
    .select(['seq', 'at', 'kind', 'events.owner_id as ownerId', 'subject', 'sandbox_id as sandboxId', 'via'])
    .select([
      'events.session_id as sessionId',
      'key_id as keyId',
      'prefix as keyPrefix',
      'request_id as requestId',
      'details',
    ])
    .select(['template_id as templateId', 'sandboxes.id as foundId'])
    .select(({ eb, fn }) => {
      const isTooLarge = eb(fn<number>('octet_length', ['metadata']), '>', value('maxMetadataBytes'));
      return [
        'endpoints',
        eb.case().when(isTooLarge).then(null).else(eb.ref('metadata')).end().as('metadata'),
        isTooLarge.as('isTooLarge'),
      ];
    })
    .where('webhook_outbox.owner_id', '=', value('ownerId'))
    .orderBy('event_seq')
    .limit(value('limit')),
);

const deleteQueued = query<{ ownerId: number; seq: number }, unknown>((db, value) =>
  db.deleteFrom('webhook_outbox').where('owner_id', '=', value('ownerId')).where('event_seq', '<=', value('seq')),
);
