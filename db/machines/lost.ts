import { sql } from 'kysely';
import { type Actor, sweeper } from '../events/record.ts';
import { query } from '../prepared.ts';
import { endLive } from '../sandboxes/expire.ts';
import { type Sandbox, statusAt } from '../sandboxes/read.ts';
import type { SandboxStatus } from '../schema.ts';
import type { Db, Trx } from '../store.ts';

/** Why a sandbox ended that nobody ended. */
export type LossReason = 'machine_missing' | 'machine_died' | 'out_of_memory';

/**
 * Ends those of the sandboxes that are running, whosever they are, because their machines are gone;
 * also those that are paused, if their machines are missing. Returns how many it ended.
 */
export async function endLost(trx: Trx, now: number, ids: string[], reason: LossReason): Promise<number> {
  const statuses: SandboxStatus[] = reason === 'machine_missing' ? ['active', 'paused'] : ['active'];
  const found = await selectLive(trx, { now, ids, statuses });
  for (const { ownerId, ...sandbox } of found) {
    const by: Actor = { ...sweeper, ownerId };
    await endLive(trx, now, by, [sandbox], { kind: 'vm.died', details: { reason } });
  }
  return found.length;
}

/** Returns at most `limit` sandboxes that run at a time and have no machine, of any owner. */
export async function recordsWithoutMachine(db: Db, now: number, limit: number): Promise<string[]> {
  return (await selectBare(db, { now, limit })).map(({ id }) => id);
}

type Live = Pick<Sandbox, 'id' | 'status' | 'startedAt' | 'onTimeout'> & { ownerId: number };

const selectLive = query<{ now: number; ids: string[]; statuses: SandboxStatus[] }, Live>((db, value, list) =>
  db
    .selectFrom('sandboxes')
    .select((eb) => [
      'id',
      'owner_id as ownerId',
      statusAt(eb, value('now')).as('status'),
      'started_at as startedAt',
      'on_timeout as onTimeout',
    ])
    .where('id', 'in', list('ids'))
    .where((eb) => eb(statusAt(eb, value('now')), 'in', list('statuses'))),
);

const selectBare = query<{ now: number; limit: number }, { id: string }>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select('id')
    .where('status', '=', sql.lit('active' as const))
    .where((eb) => eb.or([eb('end_at', 'is', null), eb('end_at', '>', value('now'))]))
    .where((eb) =>
      eb.not(
        eb.exists(
          eb.selectFrom('machines').select('machines.sandbox_id').whereRef('machines.sandbox_id', '=', 'sandboxes.id'),
        ),
      ),
    )
    .limit(value('limit')),
);
