import { findOrigin } from '../../../db/machines/rows.ts';
import { engineCall, type LifecycleParts } from '../lifecycle/parts.ts';
import { readyMilliseconds, startSetup } from './start.ts';

/**
 * Waits for the agent of a machine that was started again, then runs the commands of its template.
 * `onAgent` is called in between. Throws MachineError.
 */
export async function startAfresh(
  { store, connections, patienceMilliseconds }: Pick<LifecycleParts, 'store' | 'connections' | 'patienceMilliseconds'>,
  id: string,
  onAgent: () => void = () => {},
): Promise<void> {
  const late = AbortSignal.timeout(patienceMilliseconds);
  const agent = await engineCall(connections.connect(id, late), late);
  onAgent();
  const origin = await findOrigin(store.db, id);
  const signal = AbortSignal.timeout(2 * readyMilliseconds);
  if (origin?.setup) await engineCall(startSetup(agent, origin.setup, { readyMilliseconds, signal }), signal);
}
