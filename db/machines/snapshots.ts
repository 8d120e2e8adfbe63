import type { Db, Trx } from '../store.ts';

/**
 * What a driver holds of snapshots and layers: several rows of `snapshots` and `template_layers`
 * may refer to it.
 */
export type MachineSnapshot = {
  ref: string;
  /** the name of the driver that took it */
  driver: string;
  allowsSudo: boolean;
  runtime: string | null;
  hasMemory: boolean;
  sizeBytes: number;
};

/**
 * Records what a driver has taken, in the transaction that records the snapshot. Does nothing if it
 * is recorded.
 */
export async function addMachineSnapshot(trx: Trx, now: number, taken: MachineSnapshot): Promise<void> {
  const { ref, driver, allowsSudo, runtime, hasMemory, sizeBytes } = taken;
  await trx
    .insertInto('machine_snapshots')
    .values({
      ref,
      driver,
      allows_sudo: allowsSudo ? 1 : 0,
      runtime,
      has_memory: hasMemory ? 1 : 0,
      size_bytes: sizeBytes,
      created_at: now,
    })
    .onConflict((conflict) => conflict.column('ref').doNothing())
    .execute();
}

export async function findMachineSnapshot(db: Db, ref: string): Promise<MachineSnapshot | null> {
  const row = await db.selectFrom('machine_snapshots').selectAll().where('ref', '=', ref).executeTakeFirst();
  if (!row) return null;
  const { driver, runtime, size_bytes: sizeBytes } = row;
  return { ref, driver, runtime, sizeBytes, allowsSudo: row.allows_sudo === 1, hasMemory: row.has_memory === 1 };
}

/** Forgets what no snapshot and no layer refers to any more. Returns the references. */
export async function forgetUnnamed(trx: Trx): Promise<string[]> {
  const unnamed = trx
    .deleteFrom('machine_snapshots')
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('snapshots')
            .select('snapshots.id')
            .whereRef('snapshots.machine_ref', '=', 'machine_snapshots.ref')
            .where('snapshots.machine_ref', 'is not', null),
        ),
      ),
    )
    .where(({ not, exists, selectFrom }) =>
      not(
        exists(
          selectFrom('template_layers').select('key').whereRef('template_layers.ref', '=', 'machine_snapshots.ref'),
        ),
      ),
    );
  return (await unnamed.returning('ref').execute()).map(({ ref }) => ref);
}

/** Returns the references to what drivers hold that some snapshot or layer names. */
export async function namedRefs(db: Db): Promise<Set<string | null>> {
  const named = db
    .selectFrom('snapshots')
    .select('machine_ref as ref')
    .where('machine_ref', 'is not', null)
    .union(db.selectFrom('template_layers').select('ref'));
  return new Set((await named.execute()).map(({ ref }) => ref));
}

/** A snapshot with the disk that it takes, for administrators. */
export type HeldSnapshot = {
  owner: string;
  id: string;
  name: string | null;
  ref: string;
  driver: string;
  hasMemory: boolean;
  sizeBytes: number;
  createdAt: number;
};

/** Returns the snapshots of all users that a driver holds something of, by owner, newest first. */
export async function heldSnapshots(db: Db): Promise<HeldSnapshot[]> {
  const rows = await db
    .selectFrom('snapshots')
    .innerJoin('machine_snapshots', 'machine_snapshots.ref', 'snapshots.machine_ref')
    .innerJoin('users', 'users.id', 'snapshots.owner_id')
    .select([
      'users.name as owner',
      'snapshots.id',
      'snapshots.name',
      'machine_snapshots.ref',
      'machine_snapshots.driver',
      'machine_snapshots.has_memory as hasMemory',
      'machine_snapshots.size_bytes as sizeBytes',
      'machine_snapshots.created_at as createdAt',
    ])
    .orderBy('users.name')
    .orderBy('machine_snapshots.created_at', 'desc')
    .orderBy('snapshots.id')
    .execute();
  return rows.map((row) => ({ ...row, hasMemory: row.hasMemory === 1 }));
}
