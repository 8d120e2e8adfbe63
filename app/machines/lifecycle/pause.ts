import { setMachineState } from '../../../db/machines/rows.ts';
import { pauseModeOf } from '../../../db/sandboxes/pause-mode.ts';
import type { Sandbox } from '../../../db/sandboxes/read.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import { rehearse } from '../launch/rehearse.ts';
import { changeMachine, type LifecycleParts } from './parts.ts';
import { putToRest, sync, trySync } from './rest.ts';

/**
 * Pauses a machine, or stops it if the pause keeps only files, and then records the pause. Throws
 * what `record` throws, and MachineError: then the sandbox runs on.
 */
export async function pauseMachine(
  parts: LifecycleParts,
  id: string,
  record: (trx: Trx) => Promise<Sandbox>,
): Promise<Sandbox> {
  const { store, connections } = parts;
  const check = () => rehearse(store, record);
  return changeMachine(parts, id, check, async (planned) => {
    const state = pauseModeOf(planned) === 'full' ? 'paused' : 'stopped';
    await (state === 'stopped' ? sync(parts, id) : trySync(parts, id, state));
    // Before the machine stops: a crash in between must not look as if the machine had died.
    if (state === 'stopped') await setMachineState(store.db, id, state);
    await putToRest(parts, id, state);
    const sandbox = await inTransaction(store.db, async (trx) => {
      await setMachineState(trx, id, state);
      return record(trx);
    });
    connections.close(id);
    return sandbox;
  });
}
