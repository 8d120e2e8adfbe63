import type { Selectable } from 'kysely';
import { query } from '../prepared.ts';
import { statusAt } from '../sandboxes/read.ts';
import type { Db } from '../store.ts';
import type { MachineRow } from './rows.ts';
import type { MachinesTable } from './tables.ts';

/** A recorded machine, for administrators. What belongs to its sandbox is null without one. */
export type HeldMachine = Pick<MachineRow, 'id' | 'isReady' | 'state' | 'status'> &
  Pick<Selectable<MachinesTable>, 'driver' | 'image'> & {
    owner: string | null;
    memoryMb: number | null;
    createdAt: number;
  };

/** Returns the recorded machines of all users and drivers at a time, oldest first. */
export async function heldMachines(db: Db, now: number): Promise<HeldMachine[]> {
  return selectHeld(db, { now });
}

const selectHeld = query<{ now: number }, HeldMachine>((db, value) =>
  db
    .selectFrom('machines')
    .leftJoin('sandboxes', 'sandboxes.id', 'machines.sandbox_id')
    .leftJoin('users', 'users.id', 'machines.owner_id')
    .select((eb) => [
      'machines.sandbox_id as id',
      'machines.is_ready as isReady',
      'machines.state',
      statusAt(eb as never, value('now')).as('status'),
      'machines.driver',
      'machines.image',
      'users.name as owner',
      'sandboxes.memory_mb as memoryMb',
      'machines.created_at as createdAt',
    ])
    .orderBy('machines.created_at')
    .orderBy('machines.sandbox_id'),
);
