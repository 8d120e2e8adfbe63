import type { Actor } from '../../../db/events/record.ts';
import type { JsonObject } from '../../../db/json/json.ts';
import { findSandbox, type Sandbox } from '../../../db/sandboxes/read.ts';
import { connectSandbox, pauseSandbox, resumeSandbox } from '../../../db/sandboxes/runs.ts';
import type { OnTimeout } from '../../../db/schema.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import type { Context } from '../../context.ts';
import { refusePaused } from '../unsupported.ts';
import type { ResumeOptions } from './resume.ts';

type Server = Pick<Context, 'store' | 'now' | 'machines'>;

/**
 * Pauses the owner's sandbox, with its machine if there are machines, and returns it. `settings` is
 * as for `pauseSandbox`. Throws what `pauseSandbox` and `pauseMachine` throw.
 */
export async function pauseRun(
  { store, now, machines }: Server,
  by: Actor,
  id: string,
  settings?: (old: JsonObject, endAt: number) => JsonObject,
): Promise<Sandbox> {
  const record = (trx: Trx) => pauseSandbox(trx, now(), by, id, settings);
  return machines ? machines.pause(id, record) : inTransaction(store.db, record);
}

/** How a sandbox is resumed. */
export type Resuming = ResumeOptions & { lifetimeSeconds: number; onTimeout?: OnTimeout | undefined };

/**
 * Starts a new run of the owner's paused sandbox, with its machine if there are machines, and
 * returns it. Throws what `resumeSandbox` and `resumeMachine` throw.
 */
export async function resumeRun(
  { store, now, machines }: Server,
  by: Actor,
  id: string,
  how: Resuming,
): Promise<Sandbox> {
  const record = (trx: Trx) => resumeSandbox(trx, now(), by, id, how.lifetimeSeconds, how.onTimeout);
  return machines ? machines.resume(id, record, how) : inTransaction(store.db, record);
}

/**
 * Makes the owner's sandbox run as `connectSandbox` says, with its machine if there are machines.
 * Throws what `connectSandbox` and `resumeMachine` throw, and HttpError 501 if the driver can't
 * resume.
 */
export async function connectRun(
  { store, now, machines }: Server,
  by: Actor,
  id: string,
  how: Omit<Resuming, 'onTimeout'>,
): Promise<{ sandbox: Sandbox; hasResumed: boolean }> {
  const record = (trx: Trx) => connectSandbox(trx, now(), by, id, how.lifetimeSeconds);
  if (!machines) return inTransaction(store.db, record);
  const connected = await inTransaction(store.db, async (trx) => {
    const sandbox = await findSandbox(trx, now(), by.ownerId, id);
    refusePaused({ machines }, sandbox);
    return sandbox?.status === 'paused' ? null : record(trx);
  });
  return connected ?? machines.resume(id, record, how);
}
