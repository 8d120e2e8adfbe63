import type { Logger } from 'pino';
import { type Actor, type Details, recordOfSandbox } from '../../../db/events/record.ts';
import { inTransaction, type Store } from '../../../db/store.ts';
import { MachineError } from '../error.ts';

/**
 * Logs that a sandbox could not be started, and records it if its machine is the reason. A record
 * that can't be written is only logged: the client is told anyway.
 */
export async function recordCreateFailed(
  { store, now, log }: { store: Store; now: () => number; log: Logger },
  by: Actor,
  id: string,
  error: unknown,
  more: Details,
): Promise<void> {
  log.warn({ err: error, sandbox: id }, 'a sandbox could not be started');
  if (!(error instanceof MachineError)) return;
  const details = { reason: error.code, message: error.message, ...more };
  await inTransaction(store.db, (trx) =>
    recordOfSandbox(trx, now(), by, id, { kind: 'vm.create_failed', details }),
  ).catch((cause) => log.error({ err: cause, sandbox: id }, 'a failed start could not be recorded'));
}
