import { type Expression, type RawBuilder, sql } from 'kysely';
import { query } from '../../prepared.ts';
import type { SandboxStatus } from '../../schema.ts';
import { furtherColumns, listedColumns, noTemplate, type Sandbox, statusAt } from '../read.ts';
import type { Order } from './order.ts';
import { smallMetadata, smallSettings, type Unread } from './texts.ts';

/** A row of a page, with what responses show beyond the contract's list. */
export type ListedSandboxRow = Omit<Sandbox, 'metadata'> & Unread & { position: number };

/** The values of a page's conditions. `since` and `until` are narrowed by the cursor already. */
export type Conditions = {
  statuses: SandboxStatus[];
  since: number;
  until: number;
  /** null: there is no cursor */
  cursorAt: number | null;
  cursorId: string;
  templateId: string | null;
};

type Value = <Name extends keyof Conditions & string>(name: Name) => Conditions[Name];

const hasStatus = (status: Expression<unknown>, statuses: RawBuilder<SandboxStatus>) =>
  sql<boolean>`${status} in ${statuses}`;

const hasTemplate = (value: Value) => sql<boolean>`(
  ${value('templateId')} is null
  or substr(coalesce(template_id, ${sql.lit(noTemplate)}) || ':', 1, length(${value('templateId')}) + 1) = ${value('templateId')} || ':'
)`;

/**
 * Together with the bounds on the start this is one range of the index, so rows before a cursor
 * cost nothing.
 */
const isAfterCursor = (value: Value, order: Order) =>
  sql<boolean>`(started_at is not ${value('cursorAt')} or id ${sql.raw(order === 'desc' ? '>' : '<')} ${value('cursorId')})`;

type StepValues = Conditions & { ownerId: number; now: number; size: number };
type Step = { position: number; startedAt: number; id: string; matches: 0 | 1 };

/** Select the next entries of an index, and whether each matches. */
export const selectSteps = { desc: stepsOf('desc', false), asc: stepsOf('asc', false) };
export const selectLivingSteps = { desc: stepsOf('desc', true), asc: stepsOf('asc', true) };

/** For living sandboxes the index holds every column that the conditions need. */
function stepsOf(order: Order, isLiving: boolean) {
  return query<StepValues, Step>((db, value, list) =>
    db
      .selectFrom('sandboxes')
      .select((eb) => [
        'position',
        'started_at as startedAt',
        'id',
        sql<0 | 1>`(${hasStatus(statusAt(eb, value('now')), list('statuses'))} and ${hasTemplate(value)})`.as(
          'matches',
        ),
      ])
      .where('owner_id', '=', value('ownerId'))
      .$if(isLiving, (rows) => rows.where('status', '<>', sql.lit('killed' as const)))
      .where('started_at', '>=', value('since'))
      .where('started_at', '<=', value('until'))
      .where(isAfterCursor(value, order))
      .orderBy('started_at', order)
      .orderBy('id', order === 'desc' ? 'asc' : 'desc')
      .limit(value('size')),
  );
}

type AtValues = Conditions & { now: number; positions: number[] };

/** Select the rows at positions of one owner that meet the conditions. */
export const selectAt = { desc: rowsAt('desc'), asc: rowsAt('asc') };

function rowsAt(order: Order) {
  return query<AtValues, ListedSandboxRow>(
    (db, value, list) =>
      db
        .selectFrom('sandboxes')
        .select(listedColumns(value('now')))
        .select(furtherColumns)
        .select(['position', smallMetadata, smallSettings])
        .where('position', 'in', list('positions'))
        .where((eb) => hasStatus(statusAt(eb, value('now')), list('statuses')))
        // The plus keeps SQLite from using an index on the start instead of the positions.
        .where(sql<boolean>`+started_at between ${value('since')} and ${value('until')}`)
        .where(isAfterCursor(value, order))
        .where(hasTemplate(value)) as never,
  );
}
