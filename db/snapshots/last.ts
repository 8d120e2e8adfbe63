import { sweeper } from '../events/record.ts';
import { findMachine, type MachineRecord } from '../machines/read.ts';
import { changeSettings } from '../sandboxes/change.ts';
import { getSandbox, type Sandbox } from '../sandboxes/read.ts';
import type { Db, Trx } from '../store.ts';
import type { Snapshot } from './rows.ts';
import { recordSnapshot } from './snapshots.ts';

type Last = { ownerId: number; name: string | null };

/** Returns the last snapshot of a sandbox that has ended, if it is still to be taken. */
export async function findUnkept(db: Db, now: number, id: string): Promise<Last | null> {
  const sandbox = await findMachine(db, now, id);
  const last = sandbox?.status === 'killed' ? lastOf(sandbox) : null;
  return sandbox && last ? { ownerId: sandbox.ownerId, name: last.name } : null;
}

/**
 * Records the last snapshot of a sandbox, in place of an earlier one of its name, and returns it;
 * null if that was done before.
 */
export async function recordLast(trx: Trx, now: number, id: string, machineRef: string): Promise<Snapshot | null> {
  const last = await findUnkept(trx, now, id);
  if (!last) return null;
  const { ownerId, name } = last;
  const sandbox = await forget(trx, now, ownerId, id);
  return recordSnapshot(trx, now, { ...sweeper, ownerId }, sandbox, { name, replace: true, machineRef });
}

/** Records that no last snapshot of a sandbox is to be taken any more. */
export async function forgetLast(trx: Trx, now: number, id: string): Promise<void> {
  const last = await findUnkept(trx, now, id);
  if (last) await forget(trx, now, last.ownerId, id);
}

async function forget(trx: Trx, now: number, ownerId: number, id: string): Promise<Sandbox> {
  const sandbox = await getSandbox(trx, now, ownerId, id);
  await changeSettings(trx, sandbox, ({ snapshotAtEnd: _, ...settings }) => settings);
  return sandbox;
}

function lastOf({ settings }: MachineRecord): { name: string | null } | null {
  return settings?.includes('"snapshotAtEnd"') ? (JSON.parse(settings).snapshotAtEnd ?? null) : null;
}
