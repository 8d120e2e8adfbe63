import { type Selectable, sql } from 'kysely';
import { query } from '../prepared.ts';
import { statusAt } from '../sandboxes/read.ts';
import type { SandboxStatus } from '../schema.ts';
import type { Db, Trx } from '../store.ts';
import { type Setup, setupColumn, setupOf } from './setup.ts';
import type { MachinesTable } from './tables.ts';

export type MachineState = Selectable<MachinesTable>['state'];

export type NewMachine = {
  sandboxId: string;
  ownerId: number;
  /** the name of the driver that makes it */
  driver: string;
  image: string;
  allowsSudo: boolean;
  runtime: string | null;
  /** null: its template lays down nothing */
  setup: Setup | null;
};

/** Records that a machine will be made for a sandbox that does not exist yet. */
export async function addMachine(trx: Trx, now: number, machine: NewMachine): Promise<void> {
  const { allowsSudo, setup } = machine;
  await insertMachine(trx, { ...machine, allowsSudo: allowsSudo ? 1 : 0, setup: setupColumn(setup), now });
}

/** Records that a machine runs, in the transaction that inserts its sandbox. */
export async function markReady(trx: Trx, sandboxId: string): Promise<void> {
  await updateReady(trx, { sandboxId });
}

/** How the machine of a sandbox was made; null without one. */
export async function findOrigin(db: Db, sandboxId: string): Promise<MachineOrigin | null> {
  const [row] = await selectOrigin(db, { sandboxId });
  return row ? { ...row, allowsSudo: row.allowsSudo === 1, setup: setupOf(row.setup) } : null;
}

export type MachineOrigin = Pick<NewMachine, 'image' | 'allowsSudo' | 'runtime' | 'setup'>;

/** Returns those of the sandboxes whose machines are not ready. */
export async function unready(db: Db, ids: string[]): Promise<string[]> {
  return (await selectUnready(db, { ids })).map(({ id }) => id);
}

/** Forgets a machine that is gone. */
export async function deleteMachine(db: Db, sandboxId: string): Promise<void> {
  await deleteRow(db, { sandboxId });
}

/** Records what the driver was made to do. */
export async function setMachineState(db: Db, sandboxId: string, state: MachineState): Promise<void> {
  await updateState(db, { sandboxId, state });
}

/** A recorded machine, by the id of its sandbox. */
export type MachineRow = {
  id: string;
  ownerId: number;
  isReady: 0 | 1;
  state: MachineState;
  /** null: there is no sandbox */
  status: SandboxStatus | null;
  /** when the sandbox ends or was paused; null: never, or there is no sandbox */
  endAt: number | null;
  /** JSON text of the sandbox's settings */
  settings: string | null;
};

/** Returns the recorded machines of a driver, with what their sandboxes are at a time. */
export async function listMachines(db: Db, now: number, driver: string): Promise<MachineRow[]> {
  return selectAll(db, { now, driver });
}

/** Returns a sandbox's machine, or null. */
export async function findMachineRow(db: Db, now: number, id: string): Promise<MachineRow | null> {
  return (await selectOne(db, { now, id }))[0] ?? null;
}

/**
 * Returns the machines of a driver that are not what their sandboxes are at a time: their sandboxes
 * have ended, or are paused and the machines run, or have been paused since before `stopBefore` and
 * the machines still hold their memory.
 */
export async function machinesToFollow(
  db: Db,
  now: number,
  driver: string,
  stopBefore: number,
): Promise<Pick<MachineRow, 'id' | 'status'>[]> {
  return selectToFollow(db, { now, driver, stopBefore });
}

/** Returns how many machines there are in each state. */
export async function countMachines(db: Db): Promise<Record<MachineState | 'starting', number>> {
  const counts = { starting: 0, running: 0, paused: 0, stopped: 0 };
  for (const { isReady, state, count } of await selectCounts(db, {})) counts[isReady ? state : 'starting'] += count;
  return counts;
}

type MachineColumns = Omit<NewMachine, 'allowsSudo' | 'setup'> & { allowsSudo: 0 | 1; setup: string | null };

const insertMachine = query<MachineColumns & { now: number }, unknown>((db, value) =>
  db.insertInto('machines').values({
    sandbox_id: value('sandboxId'),
    owner_id: value('ownerId'),
    driver: value('driver'),
    image: value('image'),
    allows_sudo: value('allowsSudo'),
    runtime: value('runtime'),
    setup: value('setup'),
    created_at: value('now'),
  }),
);

const updateReady = query<{ sandboxId: string }, unknown>((db, value) =>
  db.updateTable('machines').set({ is_ready: 1 }).where('sandbox_id', '=', value('sandboxId')),
);

type OriginRow = Pick<MachineColumns, 'image' | 'allowsSudo' | 'runtime' | 'setup'>;

const selectOrigin = query<{ sandboxId: string }, OriginRow>((db, value) =>
  db
    .selectFrom('machines')
    .select(['image', 'allows_sudo as allowsSudo', 'runtime', 'setup'])
    .where('sandbox_id', '=', value('sandboxId')),
);

const selectUnready = query<{ ids: string[] }, { id: string }>((db, _value, list) =>
  db.selectFrom('machines').select('sandbox_id as id').where('sandbox_id', 'in', list('ids')).where('is_ready', '=', 0),
);

const deleteRow = query<{ sandboxId: string }, unknown>((db, value) =>
  db.deleteFrom('machines').where('sandbox_id', '=', value('sandboxId')),
);

const updateState = query<{ sandboxId: string; state: MachineState }, unknown>((db, value) =>
  db
    .updateTable('machines')
    .set({ state: value('state') })
    .where('sandbox_id', '=', value('sandboxId')),
);

/** Machines with what their sandboxes are at a time. */
const rowsAt = (db: Db, now: number) =>
  db
    .selectFrom('machines')
    .leftJoin('sandboxes', 'sandboxes.id', 'machines.sandbox_id')
    .select((eb) => [
      'machines.sandbox_id as id',
      'machines.owner_id as ownerId',
      'machines.is_ready as isReady',
      'machines.state',
      statusAt(eb as never, now).as('status'),
      'sandboxes.end_at as endAt',
      'sandboxes.settings',
    ]);

const selectAll = query<{ now: number; driver: string }, MachineRow>((db, value) =>
  rowsAt(db, value('now')).where('machines.driver', '=', value('driver')),
);

const selectOne = query<{ now: number; id: string }, MachineRow>((db, value) =>
  rowsAt(db, value('now')).where('machines.sandbox_id', '=', value('id')),
);

type ToFollow = { now: number; driver: string; stopBefore: number };

const selectToFollow = query<ToFollow, Pick<MachineRow, 'id' | 'status'>>((db, value) =>
  db
    .selectFrom('machines')
    .leftJoin('sandboxes', 'sandboxes.id', 'machines.sandbox_id')
    .select((eb) => ['machines.sandbox_id as id', statusAt(eb as never, value('now')).as('status')])
    .where('machines.driver', '=', value('driver'))
    .where('machines.is_ready', '=', 1)
    .where((eb) => {
      const status = statusAt(eb as never, value('now'));
      const isHeldTooLong = eb.and([
        eb('machines.state', '=', sql.lit('paused' as const)),
        eb('sandboxes.end_at', '<=', value('stopBefore')),
      ]);
      const mustRest = eb.or([eb('machines.state', '=', sql.lit('running' as const)), isHeldTooLong]);
      return eb.or([
        eb('sandboxes.id', 'is', null),
        eb(status, '=', sql.lit('killed' as const)),
        eb.and([eb(status, '=', sql.lit('paused' as const)), mustRest]),
      ]);
    }),
);

type Count = Pick<MachineRow, 'isReady' | 'state'> & { count: number };

const selectCounts = query<Record<string, never>, Count>((db) =>
  db
    .selectFrom('machines')
    .select((eb) => ['is_ready as isReady', 'state', eb.fn.countAll<number>().as('count')])
    .groupBy(['is_ready', 'state']),
);
