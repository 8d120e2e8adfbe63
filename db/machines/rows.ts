import type { Selectable } from 'kysely';
import { query } from '../prepared.ts';
import { statusAt } from '../sandboxes/read.ts';
import type { Db, Trx } from '../store.ts';
import type { MachinesTable } from './tables.ts';

export type NewMachine = {
  sandboxId: string;
  ownerId: number;
  /** the name of the driver that makes it */
  driver: string;
  image: string;
  allowsSudo: boolean;
  runtime: string | null;
};

/** Records that a machine will be made for a sandbox that does not exist yet. */
export async function addMachine(trx: Trx, now: number, machine: NewMachine): Promise<void> {
  await insertMachine(trx, { ...machine, allowsSudo: machine.allowsSudo ? 1 : 0, now });
}

/** Records that a machine runs, in the transaction that inserts its sandbox. */
export async function markReady(trx: Trx, sandboxId: string): Promise<void> {
  await updateReady(trx, { sandboxId });
}

/** How the machine of a sandbox was made; null without one. */
export async function findOrigin(db: Db, sandboxId: string): Promise<MachineOrigin | null> {
  const [row] = await selectOrigin(db, { sandboxId });
  return row ? { ...row, allowsSudo: row.allowsSudo === 1 } : null;
}

export type MachineOrigin = Pick<NewMachine, 'image' | 'allowsSudo' | 'runtime'>;

/** Returns those of the sandboxes whose machines are not ready. */
export async function unready(db: Db, ids: string[]): Promise<string[]> {
  return (await selectUnready(db, { ids })).map(({ id }) => id);
}

/** Forgets a machine that is gone. */
export async function deleteMachine(db: Db, sandboxId: string): Promise<void> {
  await deleteRow(db, { sandboxId });
}

/** Returns the sandboxes whose machines run although they have ended or are paused at a time. */
export async function endedMachines(db: Db, now: number): Promise<string[]> {
  return (await selectEnded(db, { now })).map(({ sandboxId }) => sandboxId);
}

/** A recorded machine, by the id of its sandbox. */
export type MachineRow = { id: string; isReady: 0 | 1 };

/** Returns all machines that are recorded. */
export async function listMachines(db: Db): Promise<MachineRow[]> {
  return selectAll(db, {});
}

/** Returns how many machines there are in each state. */
export async function countMachines(db: Db): Promise<Record<Selectable<MachinesTable>['state'] | 'starting', number>> {
  const counts = { starting: 0, running: 0, paused: 0, stopped: 0 };
  for (const { isReady, state, count } of await selectCounts(db, {})) counts[isReady ? state : 'starting'] += count;
  return counts;
}

const insertMachine = query<Omit<NewMachine, 'allowsSudo'> & { allowsSudo: 0 | 1; now: number }, unknown>((db, value) =>
  db.insertInto('machines').values({
    sandbox_id: value('sandboxId'),
    owner_id: value('ownerId'),
    driver: value('driver'),
    image: value('image'),
    allows_sudo: value('allowsSudo'),
    runtime: value('runtime'),
    created_at: value('now'),
  }),
);

const updateReady = query<{ sandboxId: string }, unknown>((db, value) =>
  db.updateTable('machines').set({ is_ready: 1 }).where('sandbox_id', '=', value('sandboxId')),
);

type OriginRow = Omit<MachineOrigin, 'allowsSudo'> & { allowsSudo: 0 | 1 };

const selectOrigin = query<{ sandboxId: string }, OriginRow>((db, value) =>
  db
    .selectFrom('machines')
    .select(['image', 'allows_sudo as allowsSudo', 'runtime'])
    .where('sandbox_id', '=', value('sandboxId')),
);

const selectUnready = query<{ ids: string[] }, { id: string }>((db, _value, list) =>
  db.selectFrom('machines').select('sandbox_id as id').where('sandbox_id', 'in', list('ids')).where('is_ready', '=', 0),
);

const deleteRow = query<{ sandboxId: string }, unknown>((db, value) =>
  db.deleteFrom('machines').where('sandbox_id', '=', value('sandboxId')),
);

const selectEnded = query<{ now: number }, { sandboxId: string }>((db, value) =>
  db
    .selectFrom('machines')
    .leftJoin('sandboxes', 'sandboxes.id', 'machines.sandbox_id')
    .select('machines.sandbox_id as sandboxId')
    .where('machines.is_ready', '=', 1)
    .where((eb) => eb.or([eb('sandboxes.id', 'is', null), eb(statusAt(eb as never, value('now')), '!=', 'active')])),
);

type Count = Pick<Selectable<MachinesTable>, 'state'> & { isReady: 0 | 1; count: number };

const selectCounts = query<Record<string, never>, Count>((db) =>
  db
    .selectFrom('machines')
    .select((eb) => ['is_ready as isReady', 'state', eb.fn.countAll<number>().as('count')])
    .groupBy(['is_ready', 'state']),
);

const selectAll = query<Record<string, never>, MachineRow>((db) =>
  db.selectFrom('machines').select(['sandbox_id as id', 'is_ready as isReady']),
);
