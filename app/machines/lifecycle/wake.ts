import { StoreError } from '../../../db/errors.ts';
import { sweeper } from '../../../db/events/record.ts';
import { findMachineRow } from '../../../db/machines/rows.ts';
import { resumeSandbox } from '../../../db/sandboxes/runs.ts';
import type { LifecycleParts } from './parts.ts';
import { resumeMachine } from './resume.ts';

/** The least lifetime of a run that a request begins, as of E2B's. */
const leastSeconds = 300;

/**
 * Returns a function that resumes a paused sandbox because a request came for it. Requests that
 * come meanwhile share the attempt. It changes nothing if the sandbox runs or has ended: read the
 * record afterwards. Throws MachineError, and HttpError 501 for a sandbox without a machine.
 */
export function createWaker(parts: LifecycleParts): (id: string) => Promise<void> {
  const underWay = new Map<string, Promise<void>>();
  return (id) => {
    const waking = underWay.get(id) ?? wake(parts, id).finally(() => underWay.delete(id));
    underWay.set(id, waking);
    return waking;
  };
}

async function wake(parts: LifecycleParts, id: string): Promise<void> {
  const { store, now } = parts;
  const machine = await findMachineRow(store.db, now(), id);
  if (!machine) return;
  const { firstTimeout = 0 } = JSON.parse(machine.settings ?? '{}');
  const by = { ...sweeper, ownerId: machine.ownerId };
  const lifetimeSeconds = Math.max(leastSeconds, firstTimeout);
  await resumeMachine(parts, id, (trx) => resumeSandbox(trx, now(), by, id, lifetimeSeconds)).catch((error) => {
    if (!isSettled(error)) throw error;
  });
}

/** Returns whether a sandbox was not resumed because it runs already or has ended. */
function isSettled(error: unknown): boolean {
  return error instanceof StoreError && ['conflict', 'ended', 'not_found'].includes(error.code);
}
