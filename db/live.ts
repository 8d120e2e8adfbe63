import { type SelectQueryBuilder, sql } from 'kysely';
import { chunkSize } from './members.ts';
import { pairKey } from './pairs.ts';
import { ordinalsPerOwner } from './positions.ts';
import { furtherColumns, listedColumns, type Sandbox, statusAt } from './sandboxes.ts';
import type { Tables } from './schema.ts';
import { type Db, read, type Trx } from './sqlite.ts';

/** Where a page ended: the next one begins with what comes after. */
export type Cursor = { startedAt: number; id: string };

/** What to list of an owner's sandboxes that have not ended. */
export type LiveQuery = {
  statuses: ('active' | 'paused')[];
  /** pairs of metadata.ts: every sandbox listed has all of them */
  pairs: string[];
  /** at this time or later */
  startedSince: number | null;
  /** with or without a tag behind a colon */
  templateId: string | null;
  /** newest first, ties by id; or the exact reverse */
  order: 'desc' | 'asc';
  after: Cursor | null;
  /** null: all */
  limit: number | null;
};

export type LivePage = {
  sandboxes: Sandbox[];
  hasMore: boolean;
  /** how many run of all that the query is for, whatever the page */
  running: number;
};

/** The name of the template of a sandbox that was started from none. */
export const noTemplate = 'default';

/** Returns a page of an owner's sandboxes that have not ended, and how many there are. */
export async function listLiveSandboxes(db: Db, now: number, ownerId: number, live: LiveQuery): Promise<LivePage> {
  return read(db, async (trx) => {
    const found = matching(trx, now, ownerId, live);
    const page = found.select(listedColumns(now)).select(furtherColumns);
    const rows = await paged(page, live).execute();
    const sandboxes = live.limit === null ? rows : rows.slice(0, live.limit);
    return { sandboxes, hasMore: rows.length > sandboxes.length, running: await countRunning(found, now) };
  });
}

type Live<Row> = SelectQueryBuilder<Tables, 'sandboxes', Row>;

function matching(trx: Trx, now: number, ownerId: number, live: LiveQuery): Live<object> {
  const { statuses, startedSince, templateId, pairs } = live;
  const template = sql<string>`coalesce(template_id, ${sql.lit(noTemplate)})`;
  return (
    trx
      .selectFrom('sandboxes')
      .where('owner_id', '=', ownerId)
      // What the index `sandboxes_live` is for.
      .where('status', '<>', sql.lit('killed'))
      .where((eb) => eb(statusAt(eb, now), 'in', statuses))
      .$if(startedSince !== null, (query) => query.where('started_at', '>=', startedSince))
      .$if(templateId !== null, (query) =>
        query.where(sql<boolean>`substr(${template} || ':', 1, length(${templateId}) + 1) = ${templateId} || ':'`),
      )
      .$if(pairs.length > 0, (query) => query.where((eb) => eb.and(pairs.map((pair) => hasPair(ownerId, pair)))))
  );
}

function hasPair(ownerId: number, pair: string) {
  const ordinal = sql`(position % ${sql.lit(ordinalsPerOwner)})`;
  const size = sql.lit(chunkSize);
  return sql<boolean>`exists (
    select 1 from sandbox_metadata
    where pair = unhex(${pairKey(ownerId, pair)}) and chunk = ${ordinal} / ${size} and members_has(members, ${ordinal} % ${size})
  )`;
}

function paged<Row>(found: Live<Row>, { order, after, limit }: LiveQuery): Live<Row> {
  const [later, ids] = order === 'desc' ? (['<', 'asc'] as const) : (['>', 'desc'] as const);
  const idLater = order === 'desc' ? '>' : '<';
  return found
    .$if(after !== null, (query) =>
      query.where((eb) => {
        const { startedAt, id } = after as Cursor;
        return eb.or([
          eb('started_at', later, startedAt),
          eb.and([eb('started_at', '=', startedAt), eb('id', idLater, id)]),
        ]);
      }),
    )
    .orderBy('started_at', order)
    .orderBy('id', ids)
    .$if(limit !== null, (query) => query.limit((limit as number) + 1)) as Live<Row>;
}

async function countRunning(found: Live<object>, now: number): Promise<number> {
  const { running } = await found
    .where((eb) => eb(statusAt(eb, now), '=', 'active'))
    .select(({ fn }) => fn.countAll<number>().as('running'))
    .executeTakeFirstOrThrow();
  return running;
}
