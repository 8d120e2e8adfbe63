import { type Expression, type ExpressionBuilder, sql } from 'kysely';
import { isoTime, isoTimeOrNull } from '../../spec/time.ts';
import { type Actor, recordOfSandbox, sweeper } from '../events/record.ts';
import { query } from '../prepared.ts';
import type { Tables } from '../schema.ts';
import type { Trx } from '../store.ts';
import { type Sandbox, statusAfterTimeout } from './read.ts';

type Ending = Pick<Sandbox, 'id' | 'status' | 'startedAt' | 'onTimeout'>;

/** Ends sandboxes of one owner that have not ended. */
export async function endLive(trx: Trx, now: number, by: Actor, sandboxes: Ending[]): Promise<void> {
  await settle(trx, now, sandboxes);
  await kill(trx, { now, ids: JSON.stringify(sandboxes.map(({ id }) => id)) });
  for (const { id, status, startedAt } of sandboxes) {
    const details = { from: status, to: 'killed', end_at: isoTime(Math.max(startedAt, now)) };
    await recordOfSandbox(trx, now, by, id, { kind: 'vm.killed', details });
  }
}

const kill = query<{ now: number; ids: string }, unknown>((db, value) =>
  db
    .updateTable('sandboxes')
    // The clock may have gone back: nothing ends before it started.
    .set({ status: sql.lit('killed' as const), end_at: sql<number>`max(started_at, ${value('now')})` })
    .where('id', 'in', sql<string>`(select value from json_each(${value('ids')}))`),
);

/** Marks at most `limit` sandboxes past their end as killed or paused. Returns how many. */
export async function endDueSandboxes(trx: Trx, now: number, limit: number): Promise<number> {
  const due = (eb: ExpressionBuilder<Tables, 'sandboxes'>) =>
    eb
      .selectFrom('sandboxes')
      .select('position')
      .where('status', '=', 'active')
      .where('end_at', '<=', now)
      .orderBy('end_at')
      .limit(limit);
  return markDue(trx, now, due);
}

/** Marks those of the sandboxes, as they were read, that are paused because their end came: what is done to them next must not hide that. */
export async function settle(trx: Trx, now: number, sandboxes: Ending[]): Promise<void> {
  const unsure = sandboxes.filter(({ status, onTimeout }) => status === 'paused' && onTimeout === 'pause');
  if (unsure.length === 0) return;
  const ids = sql<string>`(select value from json_each(${JSON.stringify(unsure.map(({ id }) => id))}))`;
  await markDue(trx, now, (eb) =>
    eb
      .selectFrom('sandboxes')
      .select('position')
      .where('id', 'in', ids)
      .where('status', '=', 'active')
      .where('end_at', '<=', now),
  );
}

/** Marks a sandbox that runs as what its `on_timeout` makes of it, whether or not its end has come. */
export async function expire(trx: Trx, now: number, id: string): Promise<void> {
  await markDue(trx, now, (eb) => eb.selectFrom('sandboxes').select('position').where('id', '=', id));
}

type Positions = (eb: ExpressionBuilder<Tables, 'sandboxes'>) => Expression<{ position: number }>;

async function markDue(trx: Trx, now: number, due: Positions): Promise<number> {
  const marked = await trx
    .updateTable('sandboxes')
    .set((eb) => ({ status: statusAfterTimeout(eb) }))
    .where('position', 'in', due as never)
    .returning(['id', 'owner_id', 'status', 'end_at'])
    .execute();
  marked.sort((a, b) => Number(a.end_at) - Number(b.end_at));
  for (const { id, owner_id: ownerId, status, end_at: endAt } of marked) {
    await recordOfSandbox(trx, now, { ...sweeper, ownerId }, id, {
      kind: status === 'paused' ? 'vm.auto_suspended' : 'vm.expired',
      details: { from: 'active', to: status, end_at: isoTimeOrNull(endAt) },
    });
  }
  return marked.length;
}
