import { engineOf } from '../../engine.ts';
import { type Filter, noFilter } from '../../metadata.ts';
import type { Reader, Search } from '../../metadata-index.ts';
import type { SandboxStatus } from '../../schema.ts';
import { type Db, inSnapshot } from '../../store.ts';
import { Turns } from '../../turns.ts';
import { inOrder, type Order } from './order.ts';
import { type Conditions, type ListedSandboxRow, selectAt, selectLivingSteps, selectSteps } from './page-rows.ts';
import { metadataOf } from './texts.ts';

/** The last sandbox of a page: the next page starts after it. */
export type Cursor = { startedAt: number; id: string };

/**
 * Selects and sorts an owner's sandboxes. Leaving out ended sandboxes, which are many, is faster.
 */
export type SandboxQuery = {
  /** all of them, or any without `killed` */
  statuses: SandboxStatus[];
  filter: Filter;
  /** bounds on the start of the current run, in milliseconds since 1970, both included */
  since: number | null;
  until: number | null;
  /** matches with or without a tag after a colon */
  templateId: string | null;
  order: Order;
  after: Cursor | null;
  limit: number;
};

/** The default of each member of a query. */
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

export type Page = { sandboxes: ListedSandboxRow[]; hasMore: boolean };

/** The most index entries that one step passes over. */
export const maxStep = 1024;

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
      ? await engineOf(db).index.newest(db, searchOf(ownerId, now, more, turns), readerOf(now, more))
      : await walk(db, now, ownerId, more, turns);
  return { sandboxes: found.slice(0, wanted.limit), hasMore: found.length > wanted.limit };
}

async function walk(
  db: Db,
  now: number,
  ownerId: number,
  wanted: SandboxQuery,
  turns: Turns,
): Promise<ListedSandboxRow[]> {
  const { select } = readerOf(now, wanted);
  const found: ListedSandboxRow[] = [];
  await inSteps(db, { now, ownerId, wanted, size: wanted.limit, turns }, async (trx, positions) => {
    const rows = await select(trx, positions.slice(0, wanted.limit - found.length));
    found.push(...rows.sort(inOrder(wanted.order)));
    return found.length < wanted.limit;
  });
  return found;
}

type Walk = { now: number; ownerId: number; wanted: SandboxQuery; size: number; turns: Turns };

/**
 * Passes over the owner's sandboxes in order, in steps that grow, and calls `take` with the
 * positions of those that match until it returns false. Each call runs on the snapshot in which
 * they were found, so none of them has moved.
 */
export async function inSteps(
  db: Db,
  { now, ownerId, wanted, size: first, turns }: Walk,
  take: (trx: Db, positions: number[]) => Promise<boolean>,
): Promise<void> {
  const select = wanted.statuses.includes('killed') ? selectSteps : selectLivingSteps;
  const values = { ownerId, now, ...conditionsOf(wanted), size: first };
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

/** Returns the search of the index for a query with a filter. */
export function searchOf(ownerId: number, now: number, wanted: SandboxQuery, turns: Turns): Search {
  const { filter, order, limit, statuses } = wanted;
  const living = statuses.includes('killed') ? null : { statuses, now };
  const { since, until } = boundsOf(wanted);
  return { ownerId, filter, order, limit, since, until, living, turns };
}

/** Returns how the rows of a query are read. */
export function readerOf(now: number, wanted: SandboxQuery): Reader<ListedSandboxRow> {
  const conditions = { now, ...conditionsOf(wanted) };
  return {
    select: (db, positions) => selectAt[wanted.order](db, { ...conditions, positions }),
    metadata: metadataOf,
  };
}

/** Returns the bounds on the start, narrowed to what comes after the cursor. */
function boundsOf({ since, until, order, after }: SandboxQuery): Pick<SandboxQuery, 'since' | 'until'> {
  if (!after) return { since, until };
  const { startedAt } = after;
  return order === 'desc'
    ? { since, until: Math.min(startedAt, until ?? startedAt) }
    : { since: Math.max(startedAt, since ?? startedAt), until };
}

/** The largest time value (ECMA-262, 21.4.1.1). */
export const lastTime = 8.64e15;

function conditionsOf(wanted: SandboxQuery): Conditions {
  const { since, until } = boundsOf(wanted);
  const { statuses, after, templateId } = wanted;
  return {
    statuses,
    since: since ?? -lastTime,
    until: until ?? lastTime,
    cursorAt: after?.startedAt ?? null,
    cursorId: after?.id ?? '',
    templateId,
  };
}
