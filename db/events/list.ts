import { setImmediate as nextTurn } from 'node:timers/promises';
import { sandboxOfSession } from '../sessions/session-id.ts';
import type { Db } from '../store.ts';
import { eventKinds, matchesKind } from './kinds.ts';
import { type Event, type Found, selectEvents } from './log.ts';

/** Selects events. */
export type EventQuery = {
  /** null: all owners */
  ownerId: number | null;
  /** kinds, or patterns such as `vm.*`; null: all. A kind that does not exist matches nothing */
  kinds: string[] | null;
  sandboxId: string | null;
  sessionId: string | null;
  /** `since` is included, `until` is not */
  since: number | null;
  until: number | null;
  order: 'asc' | 'desc';
  /** the sequence number after which to start, in this order */
  after: number | null;
  /** how many events to pass over; not with `since` and `until` */
  offset: number;
  limit: number;
};

/** The default of each member of a query. */
export const allEvents: EventQuery = {
  ownerId: null,
  kinds: null,
  sandboxId: null,
  sessionId: null,
  since: null,
  until: null,
  order: 'asc',
  after: null,
  offset: 0,
  limit: 100,
};

/** The most events that one step passes over; other requests run between steps. */
const stepSize = 10_000;

/** The most steps of one call. */
const maxSteps = 10;

/** `next` is the sequence number after which the next page starts; null if nothing is left. */
export type EventPage = { events: Event[]; next: number | null };

/**
 * Returns a page of the events that a query selects. An index has them in order for each kind. A
 * query by time is the exception, because clocks are set back: it passes over other events, at most
 * 100,000, so that its page may be short although more follow.
 */
export async function listEvents(db: Db, wanted: EventQuery): Promise<EventPage> {
  const { limit } = wanted;
  const ranges = rangesOf(wanted);
  const isStepped = wanted.since !== null || wanted.until !== null;
  const events: Event[] = [];
  for (let { after } = wanted, step = 1; ranges.length > 0; step++, await nextTurn()) {
    const end = isStepped ? await endOfStep(db, ranges, wanted, after) : null;
    events.push(...(await selectStep(db, ranges, { ...wanted, after, limit: limit + 1 - events.length }, end)));
    if (events.length > limit) return { events: events.slice(0, limit), next: events[limit - 1]?.seq ?? null };
    if (end === null) break;
    if (step === maxSteps) return { events, next: end };
    after = end;
  }
  return { events, next: null };
}

/** One range of an index. A null matches everything, except for `session`, where undefined does. */
type Range = { kind: string | null; sandbox: string | null; session?: string | null };

function rangesOf({ kinds, sandboxId, sessionId }: EventQuery): Range[] {
  if (kinds === null && sandboxId === null && sessionId === null) return [{ kind: null, sandbox: null }];
  const wanted = Object.keys(eventKinds).filter((kind) => kinds?.some((pattern) => matchesKind(pattern, kind)) ?? true);
  const sandbox = sandboxId;
  if (sessionId === null) return wanted.map((kind) => ({ kind, sandbox }));
  const ranges: Range[] = wanted.map((kind) => ({ kind, sandbox, session: sessionId }));
  // The events of a session's first sandbox, whose id the session's id encodes, do not name it.
  const first = sandboxOfSession(sessionId);
  if (first === null || (sandboxId !== null && sandboxId !== first)) return ranges;
  return [...ranges, ...wanted.map((kind) => ({ kind, sandbox: first, session: null }))];
}

/** Returns the sequence number at which a step ends, or null if fewer events are left. */
async function endOfStep(db: Db, ranges: Range[], wanted: EventQuery, after: number | null): Promise<number | null> {
  const timeless = { ...wanted, since: null, until: null, after };
  const last = seqsIn(db, ranges, timeless, null)
    .limit(1)
    .offset(stepSize - 1);
  return (await last.executeTakeFirst())?.seq ?? null;
}

function selectStep(db: Db, ranges: Range[], wanted: EventQuery, end: number | null): Promise<Event[]> {
  const { order, limit, offset } = wanted;
  const seqs = seqsIn(db, ranges, wanted, end).limit(limit).offset(offset);
  return selectEvents(db.selectFrom('events').where('seq', 'in', seqs).orderBy('seq', order));
}

/** Selects sequence numbers, in order. SQLite merges the ranges, and stops reading at the limit. */
function seqsIn(db: Db, ranges: Range[], wanted: EventQuery, end: number | null) {
  const [first, ...others] = ranges.map((range) => seqsOf(db, range, wanted, end)) as [Found<{ seq: number }>];
  return others.reduce((all, range) => all.unionAll(range), first).orderBy('seq', wanted.order);
}

function seqsOf(
  db: Db,
  { kind, sandbox, session }: Range,
  { ownerId, since, until, order, after }: EventQuery,
  end: number | null,
): Found<{ seq: number }> {
  return db
    .selectFrom('events')
    .select('seq')
    .$if(ownerId !== null, (events) => events.where('owner_id', '=', ownerId))
    .$if(sandbox !== null, (events) => events.where('sandbox_id', '=', sandbox))
    .$if(session === null, (events) => events.where('session_id', 'is', null))
    .$if(session != null, (events) => events.where('session_id', '=', session as string))
    .$if(kind !== null, (events) => events.where('kind', '=', kind as keyof typeof eventKinds))
    .$if(after !== null, (events) => events.where('seq', order === 'asc' ? '>' : '<', after))
    .$if(end !== null, (events) => events.where('seq', order === 'asc' ? '<=' : '>=', end))
    .$if(since !== null, (events) => events.where('at', '>=', since))
    .$if(until !== null, (events) => events.where('at', '<', until));
}
