import { sql } from 'kysely';
import { query } from '../prepared.ts';
import type { Db } from '../store.ts';
import { recordsWithoutMachine } from './lost.ts';

/** What earlier servers have left in the database, which decides what may run machines. */
export type InUse = {
  /** drivers that hold machines or snapshots, the one with most machines first */
  drivers: { driver: string; machines: number }[];
  /** whether sandboxes that have not ended have no machine */
  hasRecordsOnly: boolean;
};

/**
 * Returns which drivers the database needs at a time, and whether it has sandboxes without
 * machines.
 */
export async function readInUse(db: Db, now: number): Promise<InUse> {
  const [bare] = await recordsWithoutMachine(db, now, 1);
  const [paused] = bare === undefined ? await selectPaused(db, {}) : [];
  return { drivers: await selectDrivers(db, {}), hasRecordsOnly: (bare ?? paused) !== undefined };
}

const selectDrivers = query<Record<string, never>, { driver: string; machines: number }>((db) =>
  db
    .selectFrom(
      db
        .selectFrom('machines')
        .select(['driver', sql<number>`1`.as('machines')])
        .unionAll(db.selectFrom('machine_snapshots').select(['driver', sql<number>`0`.as('machines')]))
        .as('held'),
    )
    .select((eb) => ['driver', eb.fn.sum<number>('machines').as('machines')])
    .groupBy('driver')
    .orderBy('machines', 'desc'),
);

const selectPaused = query<Record<string, never>, { id: string }>((db) =>
  db
    .selectFrom('sandboxes')
    .select('id')
    .where('status', '=', sql.lit('paused' as const))
    .where((eb) =>
      eb.not(
        eb.exists(
          eb.selectFrom('machines').select('machines.sandbox_id').whereRef('machines.sandbox_id', '=', 'sandboxes.id'),
        ),
      ),
    )
    .limit(1),
);
