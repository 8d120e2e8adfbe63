import type { Request } from 'express';
import { deleteTemplate } from '../../../db/builds/delete.ts';
import { findPlanned, type Planned } from '../../../db/builds/planned.ts';
import { StoreError } from '../../../db/errors.ts';
import { forkSandbox } from '../../../db/sandboxes/fork.ts';
import type { Snapshot } from '../../../db/snapshots/rows.ts';
import { type SnapshotRequest, snapshotSandbox } from '../../../db/snapshots/snapshots.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
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
 * Deletes a template as `deleteTemplate` does. Builds that have not ended are given up, and what
 * drivers and folders hold of it is removed, in the background.
 */
export async function dropTemplate(parts: Parts, req: Request, reference: string): Promise<void> {
  await drop(parts, (trx, now) => deleteTemplate(trx, now, actorOf(req), reference));
}

/**
 * Deletes a snapshot like `dropTemplate`, and returns it. A template that E2B's clients build is
 * not found before it is there.
 */
export async function dropSnapshot(parts: Parts, req: Request, reference: string): Promise<Snapshot | Planned> {
  return drop(parts, async (trx, now) => {
    const by = actorOf(req);
    const planned = await findPlanned(trx, by.ownerId, reference);
    const { snapshot: found, unfinished } = await deleteTemplate(trx, now, by, reference);
    const snapshot = found ?? planned;
    if (!snapshot) throw new StoreError('not_found', 'Snapshot not found');
    return { snapshot, unfinished };
  });
}

async function drop<S>(
  { store, now, machines }: Parts,
  change: (trx: Trx, now: number) => Promise<{ snapshot: S; unfinished: string[] }>,
): Promise<S> {
  const { snapshot, unfinished } = await inTransaction(store.db, (trx) => change(trx, now()));
  for (const id of unfinished) machines?.builds.cancel(id);
  machines?.collectSnapshots();
  machines?.buildFiles.sweep();
  return snapshot;
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
