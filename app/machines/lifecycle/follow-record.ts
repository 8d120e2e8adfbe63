import { findMachineRow, type MachineRow, setMachineState } from '../../../db/machines/rows.ts';
import { pauseModeOf } from '../../../db/sandboxes/pause-mode.ts';
import { MachineError } from '../error.ts';
import { enforceRecord } from '../network/restrict.ts';
import { startAfresh } from '../setup/after-stop.ts';
import { engineCall, type LifecycleParts } from './parts.ts';
import { putToRest, type Rest, trySync } from './rest.ts';

/**
 * Makes a machine what its sandbox's record says: running, paused or stopped. Does nothing while
 * the machine is being changed, and leaves machines of sandboxes that have ended to others. Throws
 * MachineError if it has to be tried again.
 */
export async function followRecord(parts: LifecycleParts, id: string): Promise<void> {
  const { store, now, verbs } = parts;
  if (verbs.isBusy(id)) return;
  await verbs.run(id, async () => {
    const machine = await findMachineRow(store.db, now(), id);
    if (!machine?.isReady) return;
    if (machine.status === 'active') await letRun(parts, machine);
    if (machine.status === 'paused') await letRest(parts, machine);
  });
}

async function letRun(parts: LifecycleParts, { id, state, settings }: MachineRow) {
  const { store, driver, log, patienceMilliseconds } = parts;
  const late = AbortSignal.timeout(patienceMilliseconds);
  await engineCall(driver.resume(id, late), late);
  await enforceRecord(parts, id, settings).catch((error) => {
    // It was started without rules: trying again would not help.
    if (!(error instanceof MachineError) || error.code !== 'unsupported') throw error;
  });
  if (state === 'stopped') {
    await startAfresh(parts, id).catch((error) =>
      log.warn({ err: error, sandbox: id }, 'the commands of a template could not be started again'),
    );
  }
  if (state !== 'running') await setMachineState(store.db, id, 'running');
}

async function letRest(parts: LifecycleParts, machine: MachineRow): Promise<void> {
  const { id, state } = machine;
  const rest = restOf(parts, machine);
  if (state === 'running') await trySync(parts, id, rest);
  await putToRest(parts, id, rest);
  if (state !== rest) await setMachineState(parts.store.db, id, rest);
  parts.connections.close(id);
}

function restOf({ now, pausedMemory }: LifecycleParts, { state, endAt, settings }: MachineRow): Rest {
  const isOver = endAt !== null && endAt <= now() - pausedMemory;
  return state === 'stopped' || isOver || pauseModeOf({ settings, endAt }) === 'filesystem' ? 'stopped' : 'paused';
}
