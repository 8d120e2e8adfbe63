import { query } from '../prepared.ts';
import { statusAt } from '../sandboxes/read.ts';
import type { Db } from '../store.ts';

/** A machine that runs, with what its readings are judged by. */
export type RunningMachine = { id: string; vcpuCount: number; createdAt: number };

/** Returns the machines of sandboxes that run, oldest first. */
export async function runningMachines(db: Db, now: number): Promise<RunningMachine[]> {
  return selectRunning(db, { now });
}

const selectRunning = query<{ now: number }, RunningMachine>((db, value) =>
  db
    .selectFrom('machines')
    .innerJoin('sandboxes', 'sandboxes.id', 'machines.sandbox_id')
    .select(['machines.sandbox_id as id', 'sandboxes.vcpu_count as vcpuCount', 'machines.created_at as createdAt'])
    .where('machines.is_ready', '=', 1)
    .where((eb) => eb(statusAt(eb as never, value('now')), '=', 'active'))
    .orderBy('machines.created_at'),
);
