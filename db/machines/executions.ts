import { StoreError } from '../errors.ts';
import { query } from '../prepared.ts';
import { randomDigits } from '../random.ts';
import type { Db, Trx } from '../store.ts';

/** Code that runs in the background, or has run. Times are milliseconds since 1970. */
export type Execution = {
  id: string;
  sandboxId: string;
  createdAt: number;
  /** null: it runs */
  endedAt: number | null;
  stdout: string;
  stderr: string;
  exitCode: number | null;
  runSeconds: number | null;
  /** null: unknown */
  cpuSeconds: number | null;
};

/** How an execution ended. */
export type ExecutionEnd = Pick<Execution, 'stdout' | 'stderr' | 'exitCode' | 'runSeconds' | 'cpuSeconds'>;

/** How many executions of one sandbox run at once, and how many are kept. */
const [maxRunning, maxKept] = [32, 1000];

/**
 * Records that code begins to run in a sandbox, and returns the execution's id. The results of the
 * oldest executions give way to those of new ones. Throws StoreError `refused` if too many run.
 */
export async function beginExecution(trx: Trx, now: number, sandboxId: string): Promise<string> {
  const kept = await selectOfSandbox(trx, { sandboxId });
  if (kept.filter(({ endedAt }) => endedAt === null).length >= maxRunning) {
    throw new StoreError('refused', `The sandbox runs ${maxRunning} pieces of code in the background: wait for some`);
  }
  const ended = kept.filter(({ endedAt }) => endedAt !== null);
  const old = ended.slice(0, Math.max(0, kept.length + 1 - maxKept)).map(({ seq }) => seq);
  if (old.length > 0) await trx.deleteFrom('executions').where('seq', 'in', old).execute();
  const id = `x${randomDigits()}`;
  await trx.insertInto('executions').values({ id, sandbox_id: sandboxId, created_at: now }).execute();
  return id;
}

/** Records how an execution ended, unless its sandbox was deleted. */
export async function endExecution(trx: Trx, now: number, id: string, end: ExecutionEnd): Promise<void> {
  const { stdout, stderr, exitCode, runSeconds, cpuSeconds } = end;
  await trx
    .updateTable('executions')
    .set({ ended_at: now, stdout, stderr, exit_code: exitCode, run_seconds: runSeconds, cpu_seconds: cpuSeconds })
    .where('id', '=', id)
    .execute();
}

/** Records that no execution goes on, because the server that waited for them has stopped. */
export async function endInterrupted(trx: Trx, now: number): Promise<void> {
  await trx
    .updateTable('executions')
    .set({ ended_at: now, stderr: interrupted, exit_code: -1 })
    .where('ended_at', 'is', null)
    .execute();
}

export const interrupted = 'The server stopped while this code ran: run it again\n';

/** Returns an execution in one of the owner's sandboxes. Throws StoreError `not_found`. */
export async function getExecution(db: Db, ownerId: number, id: string): Promise<Execution> {
  const [found] = await selectOne(db, { ownerId, id });
  if (!found) throw new StoreError('not_found', `There is no execution ${id}`);
  return found;
}

const selectOfSandbox = query<{ sandboxId: string }, { seq: number; endedAt: number | null }>((db, value) =>
  db
    .selectFrom('executions')
    .select(['seq', 'ended_at as endedAt'])
    .where('sandbox_id', '=', value('sandboxId'))
    .orderBy('seq'),
);

const selectOne = query<{ ownerId: number; id: string }, Execution>((db, value) =>
  db
    .selectFrom('executions')
    .innerJoin('sandboxes', 'sandboxes.id', 'executions.sandbox_id')
    .select([
      'executions.id',
      'executions.sandbox_id as sandboxId',
      'executions.created_at as createdAt',
      'executions.ended_at as endedAt',
      'executions.stdout',
      'executions.stderr',
      'executions.exit_code as exitCode',
      'executions.run_seconds as runSeconds',
      'executions.cpu_seconds as cpuSeconds',
    ])
    .where('executions.id', '=', value('id'))
    .where('sandboxes.owner_id', '=', value('ownerId')),
);
