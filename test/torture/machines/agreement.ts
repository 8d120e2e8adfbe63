import type { FoundMachine, FoundSnapshot } from '../../../app/machines/driver.ts';
import { rowsOf, type Trial } from './trial.ts';

/** What the records say of a sandbox or a machine. A sandbox that has expired counts as such. */
export type Recorded = {
  id: string;
  /** null: there is no sandbox */
  status: string | null;
  /** null: there is no row of a machine */
  state: string | null;
  isReady: 0 | 1 | null;
};

const statusNow = `case when s.status = 'active' and s.end_at <= unixepoch('subsec') * 1000
  then case s.on_timeout when 'pause' then 'paused' else 'killed' end else s.status end`;

/** Returns the sandboxes that have not ended, and all rows of machines. */
export function recordsOf(file: string): Recorded[] {
  return rowsOf<Recorded>(
    file,
    `select * from (
      select coalesce(s.id, m.sandbox_id) as id, ${statusNow} as status, m.state as state, m.is_ready as isReady
      from sandboxes s full join machines m on m.sandbox_id = s.id
    ) where status in ('active', 'paused') or isReady is not null order by id`,
  );
}

/** Returns how records and machines differ; empty if they agree. */
export async function disagreementOf({ driver, options: { file } }: Trial): Promise<string> {
  const [records, machines] = [recordsOf(file), await driver.list()];
  const [refs, snapshots] = [refsOf(file), await driver.snapshots()];
  return [...machineProblems(records, machines), ...snapshotProblems(refs, snapshots)].join('; ');
}

function machineProblems(records: Recorded[], machines: FoundMachine[]): string[] {
  const states = new Map(machines.map(({ id, state }) => [id, state]));
  const known = new Set(records.map(({ id }) => id));
  const orphans = machines.filter(({ id }) => !known.has(id)).map(({ id }) => `no record of the machine ${id}`);
  const half = records.filter((record) => !isWhole(record, states.get(record.id)));
  return [...orphans, ...half.map((record) => `${JSON.stringify(record)} has a machine ${states.get(record.id)}`)];
}

function isWhole({ status, state, isReady }: Recorded, machine: FoundMachine['state'] | undefined): boolean {
  if (isReady !== 1 || machine !== state) return false;
  return status === 'active' ? state === 'running' : status === 'paused' && state !== 'running';
}

type Ref = { ref: string; isNamed: 0 | 1 };

/** Returns the snapshots that are recorded as the driver's, or that snapshots refer to. */
function refsOf(file: string): Ref[] {
  return rowsOf<Ref>(
    file,
    `select coalesce(m.ref, s.machine_ref) as ref, m.ref is not null and s.id is not null as isNamed
     from machine_snapshots m full join (select * from snapshots where machine_ref is not null) s
       on s.machine_ref = m.ref`,
  );
}

/** A machine may keep a snapshot that was deleted from being removed. */
function snapshotProblems(recorded: Ref[], found: FoundSnapshot[]): string[] {
  const [refs, held] = [new Set(recorded.map(({ ref }) => ref)), new Set(found.map(({ ref }) => ref))];
  const half = recorded.filter(({ ref, isNamed }) => !isNamed || !held.has(ref));
  const orphans = found.filter(({ ref, isUsed }) => !isUsed && !refs.has(ref));
  return [
    ...half.map((each) => `${JSON.stringify(each)} is half there`),
    ...orphans.map(({ ref }) => `no record of the snapshot ${ref}`),
  ];
}
