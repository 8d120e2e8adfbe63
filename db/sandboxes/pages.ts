import { type RawBuilder, sql } from 'kysely';
import { type Filter, noFilter } from '../metadata.ts';
import { query } from '../prepared.ts';
import type { SandboxStatus } from '../schema.ts';
import type { Order } from '../sqlite/index/chunks.ts';
import { countActive } from '../sqlite/index/living.ts';
import { countMatches, inOrder, type Reader, type Search, search } from '../sqlite/index/search.ts';
import { type Db, inSnapshot } from '../store.ts';
import { Turns } from '../turns.ts';
import { furtherColumns, listedColumns, type Sandbox, statusAt } from './read.ts';
import { metadataOf, smallMetadata, smallSettings, type Unread } from './texts.ts';

/** Where a page ended: the next one begins with what comes after. */
export type Cursor = { startedAt: number; id: string };

/** What to list of an owner's sandboxes. Those that have ended are many: without them it is faster. */
export type SandboxQuery = {
  /** all of them, or some without `killed` */
  statuses: SandboxStatus[];
  filter: Filter;
  /** When their current run began, in milliseconds since 1970, both included. */
  since: number | null;
  until: number | null;
  /** with or without a tag behind a colon */
  templateId: string | null;
  /** newest first, ties by id; or the exact reverse */
  order: Order;
  after: Cursor | null;
  limit: number;
};

/** What a query asks for unless it says otherwise. */
export const everything: SandboxQuery = {
  statuses: ['active', 'paused', 'killed'],
  filter: noFilter,
  since: null,
  until: null,
  templateId: null,
  order: 'desc',
  after: null,
  limit: 1000,
};

export type Listed = Omit<Sandbox, 'metadata'> & Unread & { position: number };

export type Page = { sandboxes: Listed[]; hasMore: boolean };

/** The name of the template of a sandbox that was started from none. */
export const noTemplate = 'default';

/** How many entries of an index are passed over in one step. */
const maxStep = 1024;

/** Returns a page of an owner's sandboxes. */
export async function listPage(
  db: Db,
  now: number,
  ownerId: number,
  wanted: SandboxQuery,
  turns = new Turns(),
): Promise<Page> {
  const more = { ...wanted, limit: wanted.limit + 1 };
  const found =
    wanted.filter.pairs.length > 0
      ? await search(db, searchOf(ownerId, now, more, turns), readerOf(now, more))
      : await walk(db, now, ownerId, more, turns);
  return { sandboxes: found.slice(0, wanted.limit), hasMore: found.length > wanted.limit };
}

/** Returns how many of the sandboxes that a query is for run, whatever the page. */
export async function countRunning(
  db: Db,
  now: number,
  ownerId: number,
  wanted: SandboxQuery,
  turns = new Turns(),
): Promise<number> {
  const running: SandboxQuery = { ...wanted, statuses: ['active'], after: null };
  const isByStatus = wanted.since === null && wanted.until === null && wanted.templateId === null;
  if (wanted.filter.pairs.length > 0) {
    const reader = readerOf(now, running);
    return countMatches(db, searchOf(ownerId, now, running, turns), isByStatus, reader);
  }
  if (isByStatus) return countActive(db, ownerId, now, turns);
  let count = 0;
  await inSteps(db, { now, ownerId, wanted: running, size: maxStep, turns }, async (_trx, positions) => {
    count += positions.length;
    return true;
  });
  return count;
}

async function walk(db: Db, now: number, ownerId: number, wanted: SandboxQuery, turns: Turns): Promise<Listed[]> {
  const { select } = readerOf(now, wanted);
  const found: Listed[] = [];
  await inSteps(db, { now, ownerId, wanted, size: wanted.limit, turns }, async (trx, positions) => {
    const rows = await select(trx, positions.slice(0, wanted.limit - found.length));
    found.push(...rows.sort(inOrder(wanted.order)));
    return found.length < wanted.limit;
  });
  return found;
}

type Walk = { now: number; ownerId: number; wanted: SandboxQuery; size: number; turns: Turns };

/**
 * Calls `take` with the positions of those that are wanted, in order, a few and then more at a time, until it returns
 * false. Each call is in the transaction that found them: nothing has moved yet.
 */
async function inSteps(
  db: Db,
  { now, ownerId, wanted, size: first, turns }: Walk,
  take: (trx: Db, positions: number[]) => Promise<boolean>,
): Promise<void> {
  const select = wanted.statuses.includes('killed') ? selectAny : selectLiving;
  const values = { ownerId, now, ...valuesOf(wanted), size: first };
  for (;;) {
    const isMore = await inSnapshot(db, async (trx) => {
      const rows = await select[wanted.order](trx, values);
      const { startedAt, id } = rows.at(-1) ?? { startedAt: null, id: '' };
      Object.assign(values, {
        cursorAt: startedAt,
        cursorId: id,
        [wanted.order === 'desc' ? 'until' : 'since']: startedAt,
      });
      const matching = rows.filter(({ matches }) => matches === 1).map(({ position }) => position);
      return (await take(trx, matching)) && rows.length === values.size;
    });
    if (!isMore) return;
    values.size = Math.min(values.size * 4, maxStep);
    await turns.next();
  }
}

function searchOf(ownerId: number, now: number, wanted: SandboxQuery, turns: Turns): Search {
  const { filter, order, limit, statuses } = wanted;
  const living = statuses.includes('killed') ? null : { statuses, now };
  const { since, until } = boundsOf(wanted);
  return { ownerId, filter, order, limit, since, until, living, turns };
}

function readerOf(now: number, wanted: SandboxQuery): Reader<Listed> {
  const values = { now, ...valuesOf(wanted) };
  return {
    select: (db, positions) => selectAt[wanted.order](db, { ...values, positions: JSON.stringify(positions) }),
    metadata: metadataOf,
  };
}

/** Returns when those started that come behind the cursor, too. */
function boundsOf({ since, until, order, after }: SandboxQuery): Pick<SandboxQuery, 'since' | 'until'> {
  if (!after) return { since, until };
  const { startedAt } = after;
  return order === 'desc'
    ? { since, until: Math.min(startedAt, until ?? startedAt) }
    : { since: Math.max(startedAt, since ?? startedAt), until };
}

type Values = {
  statuses: string;
  since: number;
  until: number;
  cursorAt: number | null;
  cursorId: string;
  templateId: string | null;
};

/** The furthest times that there are (ECMA-262, 21.4.1.1). */
const lastTime = 8.64e15;

function valuesOf(wanted: SandboxQuery): Values {
  const { since, until } = boundsOf(wanted);
  const { statuses, after, templateId } = wanted;
  return {
    statuses: JSON.stringify(statuses),
    since: since ?? -lastTime,
    until: until ?? lastTime,
    cursorAt: after?.startedAt ?? null,
    cursorId: after?.id ?? '',
    templateId,
  };
}

type Value = <Name extends keyof Values & string>(name: Name) => Values[Name];

const hasStatus = (value: Value, status: RawBuilder<SandboxStatus>) =>
  sql<number>`${status} in (select value from json_each(${value('statuses')}))`;

const hasTemplate = (value: Value) => sql<number>`(
  ${value('templateId')} is null
  or substr(coalesce(template_id, ${sql.lit(noTemplate)}) || ':', 1, length(${value('templateId')}) + 1) = ${value('templateId')} || ':'
)`;

/** With the bounds on the start this is a range of the index: what lies before a cursor costs nothing. */
const isBehindCursor = (value: Value, order: Order) =>
  sql<boolean>`(started_at is not ${value('cursorAt')} or id ${sql.raw(order === 'desc' ? '>' : '<')} ${value('cursorId')})`;

type StepValues = Values & { ownerId: number; now: number; size: number };
type Step = { position: number; startedAt: number; id: string; matches: number };

const selectLiving = { desc: stepsOf('desc', true), asc: stepsOf('asc', true) };
const selectAny = { desc: stepsOf('desc', false), asc: stepsOf('asc', false) };

/** The next entries of an index, and which of them are wanted. The index of living ones holds all that this asks for. */
function stepsOf(order: Order, isLiving: boolean) {
  return query<StepValues, Step>((db, value) =>
    db
      .selectFrom('sandboxes')
      .select((eb) => [
        'position',
        'started_at as startedAt',
        'id',
        sql<number>`(${hasStatus(value, statusAt(eb, value('now')) as never)} and ${hasTemplate(value)})`.as('matches'),
      ])
      .where('owner_id', '=', value('ownerId'))
      .$if(isLiving, (rows) => rows.where('status', '<>', sql.lit('killed' as const)))
      .where('started_at', '>=', value('since'))
      .where('started_at', '<=', value('until'))
      .where(isBehindCursor(value, order))
      .orderBy('started_at', order)
      .orderBy('id', order === 'desc' ? 'asc' : 'desc')
      .limit(value('size')),
  );
}

type AtValues = Values & { now: number; positions: string };

const selectAt = { desc: rowsAt('desc'), asc: rowsAt('asc') };

function rowsAt(order: Order) {
  return query<AtValues, Listed>(
    (db, value) =>
      db
        .selectFrom('sandboxes')
        .select(listedColumns(value('now')))
        .select(furtherColumns)
        .select(['position', smallMetadata, smallSettings])
        .where('position', 'in', sql<number>`(select value from json_each(${value('positions')}))`)
        // The positions are an owner's. With the plus no other index than the rows' own is considered.
        .where((eb) => sql<boolean>`${hasStatus(value, statusAt(eb, value('now')) as never)}`)
        .where(sql<boolean>`+started_at between ${value('since')} and ${value('until')}`)
        .where(isBehindCursor(value, order))
        .where(sql<boolean>`${hasTemplate(value)}`) as never,
  );
}
