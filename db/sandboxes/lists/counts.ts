import { sql } from 'kysely';
import { query } from '../../prepared.ts';
import type { SandboxStatus } from '../../schema.ts';
import { type Db, inSnapshot } from '../../store.ts';
import { countQueued } from '../../webhooks/outbox.ts';

/**
 * Counts all owners' sandboxes by status; those past their end count as paused or killed. It
 * counts sandboxes that have not ended in indexes and subtracts: 2 ms for 50,000 of 100,000
 * sandboxes, 4 ms for 100,000 of a million.
 */
export async function countByStatus(db: Db, now: number): Promise<Record<SandboxStatus, number>> {
  return inSnapshot(db, async (trx) => {
    const [stored] = await selectStored(trx, {});
    const [due] = await selectDue(trx, { now });
    if (!stored || !due) throw new Error('a count has no rows');
    return {
      active: stored.active - due.all,
      paused: stored.live - stored.active + due.toPause,
      killed: stored.total - stored.live + due.all - due.toPause,
    };
  });
}

/** Counts pending messages to all owners' enabled endpoints, including those of queued events. */
export async function countPendingDeliveries(db: Db): Promise<number> {
  const [pending] = await selectPending(db, {});
  return (pending?.count ?? 0) + (await countQueued(db));
}

const selectPending = query<Record<string, never>, { count: number }>((db) =>
  db
    .selectFrom('webhook_deliveries')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('status', '=', sql.lit('pending' as const))
    .where('endpoint_id', 'in', ({ selectFrom }) =>
      selectFrom('webhook_endpoints')
        .select('id')
        .where('enabled', '=', sql.lit(1 as const)),
    ),
);

type Stored = { total: number; live: number; active: number };

/** Each count uses its own index; grouping by status would read every row. */
const selectStored = query<Record<string, never>, Stored>(
  (db) =>
    db.selectNoFrom((eb) => {
      const count = eb.selectFrom('sandboxes').select(eb.fn.countAll<number>().as('count'));
      return [
        count.$asScalar().as('total'),
        count
          .where('status', '<>', sql.lit('killed' as const))
          .$asScalar()
          .as('live'),
        count
          .where('status', '=', sql.lit('active' as const))
          .$asScalar()
          .as('active'),
      ];
    }) as never,
);

const selectDue = query<{ now: number }, { all: number; toPause: number }>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select((eb) => [
      eb.fn.countAll<number>().as('all'),
      eb.fn
        .countAll<number>()
        .filterWhere('on_timeout', '=', sql.lit('pause' as const))
        .as('toPause'),
    ])
    .where('status', '=', sql.lit('active' as const))
    .where('end_at', '<=', value('now')),
);
