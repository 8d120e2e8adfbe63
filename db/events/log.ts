import { type SelectQueryBuilder, sql } from 'kysely';
import { engineOf } from '../engine.ts';
import { StoreError } from '../errors.ts';
import { query } from '../prepared.ts';
import type { EventsTable, Tables } from '../schema.ts';
import type { Db, Trx } from '../store.ts';

/** A recorded event. */
export type Event = {
  /** the sequence number, in the order of commits: 1 or more, with gaps that mean nothing */
  seq: number;
  at: number;
  kind: EventsTable['kind'];
  ownerId: number;
  subject: string;
  sandboxId: string | null;
  /** null: none, or the session that the sandbox's id encodes */
  sessionId: string | null;
  via: EventsTable['via'];
  keyId: number | null;
  keyPrefix: string | null;
  requestId: string | null;
  /** JSON text of an object */
  details: string;
};

/**
 * Returns the owner's event with this sequence number. Throws StoreError `not_found`, also for
 * other owners' events.
 */
export async function getEvent(db: Db, ownerId: number, seq: number): Promise<Event> {
  const found = await selectEvents(db.selectFrom('events').where('owner_id', '=', ownerId).where('seq', '=', seq));
  if (!found[0]) throw new StoreError('not_found', 'Event not found');
  return found[0];
}

/** Counts the events after a sequence number by kind. Also returns the last sequence number. */
export async function countEventsAfter(db: Db, seq: number): Promise<{ counts: Map<string, number>; last: number }> {
  const rows = await selectCounts(db, { seq });
  const counts = new Map(rows.map(({ kind, count }) => [kind, count]));
  return { counts, last: Math.max(seq, ...rows.map(({ last }) => last)) };
}

/**
 * The first sequence number that the log still has, null if it is empty, and the last that it ever
 * assigned.
 */
export type LogBounds = { first: number | null; last: number };

export async function boundsOf(db: Db): Promise<LogBounds> {
  const [bounds] = await selectBounds(db, {});
  return bounds as LogBounds;
}

/**
 * Returns whether events after this sequence number may be missing: they were deleted, or the
 * number comes from another log, because a backup was restored.
 */
export function isLost({ first, last }: LogBounds, seq: number): boolean {
  return seq > last || seq + 1 < (first ?? last + 1);
}

/**
 * Deletes at most `limit` events from the start of the log, through the last one recorded before a
 * time. Returns how many. The log never gets gaps: if the clock was set back, newer events that
 * precede an old one are deleted with it. Events from the future, recorded while the clock was
 * ahead, don't protect the old events after them.
 */
export async function deleteOldEvents(
  trx: Trx,
  { now, before }: { now: number; before: number },
  limit: number,
): Promise<number> {
  const first = trx.selectFrom('events').select(['seq', 'at']).orderBy('seq').limit(limit);
  const last = (await first.where('at', '<=', now).execute()).findLast(({ at }) => at < before);
  if (!last) return 0;
  const { numDeletedRows } = await trx
    .deleteFrom('events')
    .where('seq', 'in', (eb) =>
      eb.selectFrom('events').select('seq').where('seq', '<=', last.seq).orderBy('seq').limit(limit),
    )
    .executeTakeFirst();
  return Number(numDeletedRows);
}

export type Found<Row> = SelectQueryBuilder<Tables, 'events', Row>;

/** Returns the events that a query finds. */
export function selectEvents(events: Found<object>): Promise<Event[]> {
  return events
    .select(['seq', 'at', 'kind', 'owner_id as ownerId', 'subject', 'sandbox_id as sandboxId', 'via'])
    .select(['session_id as sessionId', 'key_id as keyId', 'request_id as requestId', 'details'])
    .select((eb) =>
      eb.selectFrom('api_keys').select('prefix').whereRef('api_keys.id', '=', 'events.key_id').as('keyPrefix'),
    )
    .execute();
}

const selectCounts = query<{ seq: number }, { kind: string; count: number; last: number }>((db, value) =>
  db
    .selectFrom('events')
    .select(({ fn }) => ['kind', fn.countAll<number>().as('count'), fn.max('seq').as('last')])
    .where('seq', '>', value('seq'))
    .groupBy('kind'),
);

const selectBounds = query<Record<string, never>, LogBounds>((db) =>
  sql<LogBounds>`
    select (select min(seq) from events) as first,
      ${engineOf(db).lastEventSeq} as last
  `.compile(db),
);
