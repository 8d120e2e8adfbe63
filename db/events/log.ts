import { setImmediate as nextTurn } from 'node:timers/promises';
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
  via: EventsTable['via'];
  keyId: number | null;
  keyPrefix: string | null;
  requestId: string | null;
  /** JSON text of an object */
  details: string;
};

/** Selects events. */
export type EventQuery = {
  /** null: all owners */
  ownerId: number | null;
  /** kinds, or patterns such as `vm.*`; null: all */
  kinds: string[] | null;
  sandboxId: string | null;
  /** `since` is included, `until` is not */
  since: number | null;
  until: number | null;
  order: 'asc' | 'desc';
  /** the sequence number after which to start, in this order */
  after: number | null;
  limit: number;
};

/** The default of each member of a query. */
export const allEvents: EventQuery = {
  ownerId: null,
  kinds: null,
  sandboxId: null,
  since: null,
  until: null,
  order: 'asc',
  after: null,
  limit: 100,
};

/** The most events that one step passes over; other requests run between steps. */
const stepSize = 10_000;

/** Returns the events that a query selects, and whether more follow. */
export async function listEvents(db: Db, wanted: EventQuery): Promise<{ events: Event[]; hasMore: boolean }> {
  const found: Event[] = [];
  const isFiltered = wanted.kinds !== null || wanted.since !== null || wanted.until !== null;
  for (let after = wanted.after; ; await nextTurn()) {
    const end = isFiltered ? await endOfStep(db, wanted, after) : null;
    found.push(...(await selectStep(db, wanted, after, end, wanted.limit + 1 - found.length)));
    if (end === null || found.length > wanted.limit) break;
    after = end;
  }
  return { events: found.slice(0, wanted.limit), hasMore: found.length > wanted.limit };
}

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

type Found<Row> = SelectQueryBuilder<Tables, 'events', Row>;

/** Returns the sequence number at which a step ends, or null if fewer events are left. */
async function endOfStep(db: Db, wanted: EventQuery, after: number | null): Promise<number | null> {
  const last = eventsAfter(db, wanted, after)
    .select('seq')
    .orderBy('seq', wanted.order)
    .limit(1)
    .offset(stepSize - 1);
  return (await last.executeTakeFirst())?.seq ?? null;
}

async function selectStep(
  db: Db,
  wanted: EventQuery,
  after: number | null,
  end: number | null,
  limit: number,
): Promise<Event[]> {
  const { kinds, since, until, order } = wanted;
  const step = eventsAfter(db, wanted, after)
    .$if(end !== null, (step) => step.where('seq', order === 'asc' ? '<=' : '>=', end))
    .$if(since !== null, (step) => step.where('at', '>=', since))
    .$if(until !== null, (step) => step.where('at', '<', until))
    .$if(kinds !== null, (step) => step.where(({ or }) => or([...new Set(kinds)].map(isOfKind))));
  return selectEvents(step.orderBy('seq', order).limit(limit));
}

function eventsAfter(db: Db, { ownerId, sandboxId, order }: EventQuery, after: number | null): Found<object> {
  return db
    .selectFrom('events')
    .$if(ownerId !== null, (events) => events.where('owner_id', '=', ownerId))
    .$if(sandboxId !== null, (events) => events.where('sandbox_id', '=', sandboxId))
    .$if(after !== null, (events) => events.where('seq', order === 'asc' ? '>' : '<', after));
}

/** A prefix is a range of the index: `/` is the character after the full stop. */
function isOfKind(kind: string) {
  const [prefix = '', rest] = kind.split('.');
  return rest === '*'
    ? sql<boolean>`(kind > ${`${prefix}.`} and kind < ${`${prefix}/`})`
    : sql<boolean>`kind = ${kind}`;
}

function selectEvents(events: Found<object>): Promise<Event[]> {
  return events
    .select(['seq', 'at', 'kind', 'owner_id as ownerId', 'subject', 'sandbox_id as sandboxId', 'via'])
    .select(['key_id as keyId', 'request_id as requestId', 'details'])
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
