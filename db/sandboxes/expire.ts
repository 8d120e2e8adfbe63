import { sql, type UpdateQueryBuilder } from 'kysely';
import { isoTime, isoTimeOrNull } from '../../spec/time.ts';
import { inList } from '../engine.ts';
import { type Actor, type Details, recordOfSandbox, sweeper } from '../events/record.ts';
import { query } from '../prepared.ts';
import type { Tables } from '../schema.ts';
import type { Trx } from '../store.ts';
import { type Sandbox, statusAfterTimeout } from './read.ts';

type Ending = Pick<Sandbox, 'id' | 'status' | 'startedAt' | 'onTimeout'>;

type End = { kind: 'vm.killed' | 'vm.died'; details: Details };

/** Ends sandboxes of one owner that have not ended. `end` is the event, whose details get more. */
export async function endLive(
  trx: Trx,
  now: number,
  by: Actor,
  sandboxes: Ending[],
  { kind, details }: End = { kind: 'vm.killed', details: {} },
): Promise<void> {
  await settle(trx, now, sandboxes);
  await kill(trx, { now, ids: sandboxes.map(({ id }) => id) });
  for (const { id, status, startedAt } of sandboxes) {
    const change = { from: status, to: 'killed', end_at: isoTime(Math.max(startedAt, now)) };
    await recordOfSandbox(trx, now, by, id, { kind, details: { ...change, ...details } });
  }
}

const kill = query<{ now: number; ids: string[] }, unknown>((db, value, list) =>
  db
    .updateTable('sandboxes')
    // The clock may have been set back: no sandbox ends before its start.
    .set({ status: sql.lit('killed' as const), end_at: sql<number>`max(started_at, ${value('now')})` })
    .where('id', 'in', list('ids')),
);

/**
 * Stores what became of at most `limit` sandboxes past their end: killed or paused. Returns how
 * many there were.
 */
export async function endDueSandboxes(trx: Trx, now: number, limit: number): Promise<number> {
  return markEnded(trx, now, (rows) =>
    rows.where('id', 'in', (eb) =>
      eb
        .selectFrom('sandboxes')
        .select('id')
        .where('status', '=', 'active')
        .where('end_at', '<=', now)
        .orderBy('end_at')
        .limit(limit),
    ),
  );
}

/**
 * Stores the status of those of the sandboxes that read as paused because their end came. A later
 * change would otherwise hide that they were paused, and the event would be missing.
 */
export async function settle(trx: Trx, now: number, sandboxes: Ending[]): Promise<void> {
  const paused = sandboxes.filter(({ status, onTimeout }) => status === 'paused' && onTimeout === 'pause');
  if (paused.length === 0) return;
  const ids = inList(
    trx,
    paused.map(({ id }) => id),
  );
  await markEnded(trx, now, (rows) =>
    rows.where('id', 'in', ids).where('status', '=', 'active').where('end_at', '<=', now),
  );
}

/** Kills or pauses a running sandbox, as its `on_timeout` says, whether or not its end has come. */
export async function expire(trx: Trx, now: number, id: string): Promise<void> {
  await markEnded(trx, now, (rows) => rows.where('id', '=', id));
}

type Update = UpdateQueryBuilder<Tables, 'sandboxes', 'sandboxes', { numUpdatedRows: bigint }>;

/**
 * Stores the status after the timeout, and records the event, of the active sandboxes that `where`
 * selects.
 */
async function markEnded(trx: Trx, now: number, where: (rows: Update) => Update): Promise<number> {
  const update = trx.updateTable('sandboxes').set((eb) => ({ status: statusAfterTimeout(eb) }));
  const marked = await where(update as unknown as Update)
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
