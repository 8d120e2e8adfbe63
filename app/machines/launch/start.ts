import type { Request } from 'express';
import type { Actor } from '../../../db/events/record.ts';
import { createSandbox, type SandboxRequest } from '../../../db/sandboxes/create.ts';
import { createOnce } from '../../../db/sandboxes/idempotency.ts';
import type { Sandbox } from '../../../db/sandboxes/read.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import { actorOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { keyedRequestOf } from '../../http/idempotency.ts';
import { egressOf } from '../network/settings.ts';
import { clientOf } from './client.ts';

type Insert = (trx: Trx, now: number, by: Actor, request: SandboxRequest) => Promise<Sandbox>;

/**
 * Starts the sandbox that a request asks for, with a machine if there are machines, and returns it.
 * A request with an `Idempotency-Key` starts it once. `insert` is the function that inserts it.
 * Throws what `createOnce`, `insert` and `Launcher.launch` throw.
 */
export async function startSandbox(
  { store, now, machines }: Pick<Context, 'store' | 'now' | 'machines'>,
  req: Request,
  wanted: SandboxRequest,
  insert: Insert = createSandbox,
): Promise<Sandbox> {
  const [by, keyed] = [actorOf(req), keyedRequestOf(req)];
  if (!machines) {
    return inTransaction(store.db, (trx) => createOnce(trx, now(), by, keyed, () => insert(trx, now(), by, wanted)));
  }
  return machines.launch({
    by,
    keyed,
    templateId: wanted.templateId,
    machine: {
      vcpuCount: wanted.vcpuCount ?? null,
      memoryMb: wanted.memoryMb ?? null,
      network: egressOf(wanted.settings),
    },
    insert: (trx, id, size) => insert(trx, now(), by, { ...wanted, ...size, id }),
    signal: clientOf(req),
  });
}
