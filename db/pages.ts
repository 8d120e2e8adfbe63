import { type SelectQueryBuilder, sql } from 'kysely';
import { chunkSize } from './members.ts';
import { pairKey } from './pairs.ts';
import { ordinalsPerOwner } from './positions.ts';
import { furtherColumns, listedColumns, type Sandbox, statusAt } from './sandboxes.ts';
import type { SandboxStatus, Tables } from './schema.ts';
import type { Db } from './sqlite.ts';

/** Where a page ended: the next one begins with what comes after. */
export type Cursor = { startedAt: number; id: string };

/** What to list of an owner's sandboxes. Those that have ended are many: without them it is faster. */
export type SandboxQuery = {
  statuses: SandboxStatus[];
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

/** What a query asks for unless it says otherwise. */
export const everything: SandboxQuery = {
  statuses: ['active', 'paused', 'killed'],
  pairs: [],
  startedSince: null,
  templateId: null,
  order: 'desc',
  after: null,
  limit: null,
};

export type Page = { sandboxes: Sandbox[]; hasMore: boolean };

/** The name of the template of a sandbox that was started from none. */
export const noTemplate = 'default';

/** Returns a page of an owner's sandboxes. */
export async function listPage(db: Db, now: number, ownerId: number, wanted: SandboxQuery): Promise<Page> {
  const page = matching(db, now, ownerId, wanted).select(listedColumns(now)).select(furtherColumns);
  const rows = await paged(page, wanted).execute();
  const sandboxes = wanted.limit === null ? rows : rows.slice(0, wanted.limit);
  return { sandboxes, hasMore: rows.length > sandboxes.length };
}

/** Returns how many of the sandboxes that a query is for run, whatever the page. */
export async function countRunning(db: Db, now: number, ownerId: number, wanted: SandboxQuery): Promise<number> {
  const { running } = await matching(db, now, ownerId, { ...wanted, statuses: ['active'] })
    .select(({ fn }) => fn.countAll<number>().as('running'))
    .executeTakeFirstOrThrow();
  return running;
}

type Found<Row> = SelectQueryBuilder<Tables, 'sandboxes', Row>;

function matching(db: Db, now: number, ownerId: number, wanted: SandboxQuery): Found<object> {
  const { statuses, startedSince, templateId, pairs } = wanted;
  const template = sql<string>`coalesce(template_id, ${sql.lit(noTemplate)})`;
  return (
    db
      .selectFrom('sandboxes')
      .where('owner_id', '=', ownerId)
      // What the index `sandboxes_live` is for.
      .$if(!statuses.includes('killed'), (query) => query.where('status', '<>', sql.lit('killed')))
      .where((eb) => eb(statusAt(eb, now), 'in', statuses))
      .$if(startedSince !== null, (query) => query.where('started_at', '>=', startedSince))
      .$if(templateId !== null, (query) =>
        query.where(sql<boolean>`substr(${template} || ':', 1, length(${templateId}) + 1) = ${templateId} || ':'`),
      )
      .$if(pairs.length > 0, (query) => query.where(hasAll(ownerId, pairs)))
  );
}

/** However many there are: SQLite bounds how deep an expression may be. */
function hasAll(ownerId: number, pairs: string[]) {
  const keys = JSON.stringify(pairs.map((pair) => pairKey(ownerId, pair)));
  const ordinal = sql`(position % ${sql.lit(ordinalsPerOwner)})`;
  const size = sql.lit(chunkSize);
  return sql<boolean>`not exists (
    select 1 from json_each(${keys}) as wanted where not exists (
      select 1 from sandbox_metadata
      where pair = unhex(wanted.value) and chunk = ${ordinal} / ${size} and members_has(members, ${ordinal} % ${size})
    )
  )`;
}

function paged<Row>(found: Found<Row>, { order, after, limit }: SandboxQuery): Found<Row> {
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
    .$if(limit !== null, (query) => query.limit((limit as number) + 1)) as Found<Row>;
}
