import { sql } from 'kysely';
import { query } from '../prepared.ts';
import { statusAt } from '../sandboxes/read.ts';
import type { SandboxStatus } from '../schema.ts';
import type { Db } from '../store.ts';

/** A sandbox as requests to its machine need it. */
export type MachineRecord = {
  ownerId: number;
  status: SandboxStatus;
  /** milliseconds since 1970; null: never */
  endAt: number | null;
  /** JSON text of an object of texts; null: none */
  env: string | null;
  /** JSON text of an object */
  settings: string | null;
  /** JSON text of what its template lays down; null: nothing, or it has no machine */
  setup: string | null;
};

/**
 * Returns any owner's sandbox, or null: requests to a machine carry the machine's own credential.
 */
export async function findMachine(db: Db, now: number, id: string): Promise<MachineRecord | null> {
  return (await selectOne(db, { now, id }))[0] ?? null;
}

/** Returns the ids of running and paused sandboxes with a machine that follow `after`, in order. */
export async function listLive(db: Db, now: number, after: string, limit: number): Promise<string[]> {
  return (await selectLive(db, { now, after, limit })).map(({ id }) => id);
}

const selectOne = query<{ now: number; id: string }, MachineRecord>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select((eb) => [
      'owner_id as ownerId',
      'end_at as endAt',
      'env',
      'settings',
      eb.selectFrom('machines').select('setup').whereRef('sandbox_id', '=', 'sandboxes.id').as('setup'),
      statusAt(eb, value('now')).as('status'),
    ])
    .where('id', '=', value('id')),
);

const selectLive = query<{ now: number; after: string; limit: number }, { id: string }>((db, value) =>
  db
    .selectFrom('machines')
    .innerJoin('sandboxes', 'sandboxes.id', 'machines.sandbox_id')
    .select('machines.sandbox_id as id')
    .where('machines.sandbox_id', '>', value('after'))
    .where((eb) => eb(statusAt(eb as never, value('now')), '!=', sql.lit('killed' as const)))
    .orderBy('machines.sandbox_id')
    .limit(value('limit')),
);
