import type { Db } from '../store.ts';

/** A machine that runs, with what its readings are judged by. */
export type RunningMachine = { id: string; vcpuCount: number; createdAt: number };

/** Returns the machines that are ready, oldest first. */
export async function runningMachines(db: Db): Promise<RunningMachine[]> {
  return db
    .selectFrom('machines')
    .innerJoin('sandboxes', 'sandboxes.id', 'machines.sandbox_id')
    .select(['machines.sandbox_id as id', 'sandboxes.vcpu_count as vcpuCount', 'machines.created_at as createdAt'])
    .where('machines.is_ready', '=', 1)
    .orderBy('machines.created_at')
    .execute();
}
