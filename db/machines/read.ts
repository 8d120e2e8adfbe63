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
};

/**
 * Returns any owner's sandbox, or null: requests to a machine carry the machine's own credential.
 */
export async function findMachine(db: Db, now: number, id: string): Promise<MachineRecord | null> {
  return (await selectOne(db, { now, id }))[0] ?? null;
}

const selectOne = query<{ now: number; id: string }, MachineRecord>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select((eb) => ['owner_id as ownerId', 'end_at as endAt', 'env', statusAt(eb, value('now')).as('status')])
    .where('id', '=', value('id')),
);
