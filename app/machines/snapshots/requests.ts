import type { Request } from 'express';
import { forkSandbox } from '../../../db/sandboxes/fork.ts';
import type { Snapshot } from '../../../db/snapshots/rows.ts';
import { deleteSnapshot, type SnapshotRequest, snapshotSandbox } from '../../../db/snapshots/snapshots.ts';
import { inTransaction } from '../../../db/store.ts';
import { actorOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { keyedRequestOf } from '../../http/idempotency.ts';
import { clientOf } from '../launch/client.ts';
import type { Forked } from './fork.ts';

type Parts = Pick<Context, 'store' | 'now' | 'machines'>;

/**
 * Takes a snapshot of the caller's running sandbox, with what its machine holds if there are
 * machines, and returns it. Throws what `snapshotSandbox` and `Snapshots.take` throw.
 */
export async function takeSnapshot(
  { store, now, machines }: Parts,
  req: Request,
  sandboxId: string,
  wanted: SnapshotRequest,
): Promise<Snapshot> {
  const by = actorOf(req);
  if (machines) return machines.snapshots.take({ by, sandboxId, wanted, signal: clientOf(req) });
  return inTransaction(store.db, (trx) => snapshotSandbox(trx, now(), by, sandboxId, wanted));
}

/**
 * Deletes a snapshot as `deleteSnapshot` does, and returns it. What a driver holds of it is
 * removed in the background.
 */
export async function dropSnapshot(
  { store, now, machines }: Parts,
  req: Request,
  reference: string,
): Promise<Snapshot> {
  const deleted = await inTransaction(store.db, (trx) => deleteSnapshot(trx, now(), actorOf(req), reference));
  if (deleted.machineRef !== null) machines?.collectSnapshots();
  return deleted;
}

/**
 * Starts copies of the caller's running sandbox, with copies of its machine if there are machines.
 * A request with an `Idempotency-Key` starts them once. Throws what `forkSandbox` and `Forks.fork`
 * throw.
 */
export async function startForks(
  { store, now, machines }: Parts,
  req: Request,
  sandboxId: string,
  wanted: { count: number; lifetimeSeconds: number },
): Promise<Forked> {
  const [by, keyed] = [actorOf(req), keyedRequestOf(req)];
  if (machines) return machines.forks.fork({ ...wanted, by, keyed, sandboxId, signal: clientOf(req) });
  return { sandboxes: await forkSandbox(store.db, now, by, sandboxId, { ...wanted, keyed }), errors: [] };
}
