import type { Sandbox } from '../../../db/sandboxes/read.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import { MachineError } from '../error.ts';
import { rehearse } from '../launch/rehearse.ts';
import { changeMachine, engineCall, type LifecycleParts } from './parts.ts';

/**
 * Changes how much memory a machine may use, in MiB, and records it. Throws what `record` throws,
 * and MachineError: then nothing has changed.
 */
export async function resizeMachine(
  parts: LifecycleParts,
  id: string,
  memoryMb: number,
  record: (trx: Trx) => Promise<Sandbox>,
): Promise<Sandbox> {
  const { store, driver, patienceMilliseconds } = parts;
  const check = () => rehearse(store, record);
  return changeMachine(parts, id, check, async () => {
    if (!driver.resize) throw new MachineError('unsupported', fixed);
    await engineCall(driver.resize(id, memoryMb), AbortSignal.timeout(patienceMilliseconds));
    return inTransaction(store.db, record);
  });
}

const fixed =
  'memory_mb is not offered here: the memory of these machines is fixed when they start; create another sandbox';
