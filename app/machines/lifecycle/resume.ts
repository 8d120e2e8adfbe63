import { findMachineRow, type MachineRow, setMachineState } from '../../../db/machines/rows.ts';
import { pauseModeOf } from '../../../db/sandboxes/pause-mode.ts';
import { inTransaction, type Trx } from '../../../db/store.ts';
import { HttpError } from '../../errors.ts';
import { MachineError } from '../error.ts';
import { rehearse } from '../launch/rehearse.ts';
import { enforceRecord } from '../network/restrict.ts';
import { networkWaits } from '../network/settings.ts';
import { startAfresh } from '../setup/after-stop.ts';
import { changeMachine, engineCall, type LifecycleParts } from './parts.ts';
import { putToRest, trySync } from './rest.ts';
import { timed } from './timed.ts';

/** How long the start of a stopped machine may wait for its turn. */
const waitMilliseconds = 50_000;

/** `memory` false: the processes are gone, as if the pause had kept only files. Default: true. */
export type ResumeOptions = { memory?: boolean | undefined };

/**
 * Resumes a paused machine, or starts a stopped one, and then records the new run. Only records it
 * if the sandbox runs. Throws what `record` throws, MachineError, and HttpError 501 for a sandbox
 * that has no machine: then the sandbox stays paused.
 */
export async function resumeMachine<T>(
  parts: LifecycleParts,
  id: string,
  record: (trx: Trx) => Promise<T>,
  { memory = true }: ResumeOptions = {},
): Promise<T> {
  const { store, now, metrics } = parts;
  const check = async () => {
    await rehearse(store, record);
    const machine = await findMachineRow(store.db, now(), id);
    if (!machine) throw new HttpError(501, noMachine);
    return machine;
  };
  return changeMachine(parts, id, check, async (machine) => {
    if (machine.status === 'paused') await timed(metrics, 'resume', () => startMachine(parts, machine, memory));
    return inTransaction(store.db, async (trx) => {
      await setMachineState(trx, id, 'running');
      return record(trx);
    });
  });
}

const noMachine = 'The sandbox was paused by a server without machines, so it has none to resume: create a new one';

async function startMachine(parts: LifecycleParts, machine: MachineRow, memory: boolean): Promise<void> {
  const { id, state } = machine;
  if (state === 'stopped') return startAgain(parts, machine);
  if (memory && pauseModeOf(machine) === 'full') return resumePaused(parts, machine);
  if (state === 'running') await trySync(parts, id, 'stopped');
  await putToRest(parts, id, 'stopped');
  await setMachineState(parts.store.db, id, 'stopped');
  await startAgain(parts, machine);
}

async function resumePaused(parts: LifecycleParts, { id, settings }: MachineRow): Promise<void> {
  await resume(parts, id);
  // Frozen, its agent could not be told.
  if (networkWaits(settings)) await enforceRecord(parts, id, settings);
}

async function resume({ driver, patienceMilliseconds }: LifecycleParts, id: string): Promise<void> {
  const late = AbortSignal.timeout(patienceMilliseconds);
  await engineCall(driver.resume(id, late), late);
}

/** Starts a stopped machine, in turn with others, and the commands of its template. */
async function startAgain(parts: LifecycleParts, { id, ownerId }: MachineRow): Promise<void> {
  const { starts, connections } = parts;
  const waiting = AbortSignal.timeout(waitMilliseconds);
  await starts.acquire(ownerId, waiting).catch((error) => {
    throw waiting.aborted ? new MachineError('full', 'Too many sandboxes are being started: try again later') : error;
  });
  let hasPlace = true;
  const release = () => {
    if (hasPlace) starts.release(ownerId);
    hasPlace = false;
  };
  try {
    // A connection to the agent of before would not notice that it is gone.
    connections.close(id);
    await resume(parts, id);
    await startAfresh(parts, id, release);
  } catch (error) {
    connections.close(id);
    throw error;
  } finally {
    release();
  }
}
