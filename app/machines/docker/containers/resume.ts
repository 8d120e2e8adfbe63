import type { Container } from 'dockerode';
import { callEngine, deadlines } from '../engine/engine.ts';
import { reconnect } from '../network.ts';
import type { Shared } from '../shared.ts';
import { isMissing, startContainer } from './create.ts';
import { stateOf } from './list.ts';

/**
 * Lets a machine's frozen container go on, or starts one that does not run. A running one is no
 * error. Rejects with MachineError.
 */
export async function resumeContainer(
  shared: Shared,
  id: string,
  container: Container,
  signal: AbortSignal,
): Promise<void> {
  try {
    const call = (abortSignal: AbortSignal) => container.unpause({ abortSignal });
    await callEngine('resume the machine', deadlines.change, call, signal);
  } catch (error) {
    const state = await stateOf(container);
    if (state === 'paused') throw error;
    if (state === 'stopped') await restart(shared, id, container, signal);
  }
}

async function restart(shared: Shared, id: string, container: Container, signal: AbortSignal): Promise<void> {
  await startContainer(container, signal).catch(async (error) => {
    if (!isMissing(error)) throw error;
    // Docker's "network prune" removes the network of machines that are all stopped.
    shared.forget();
    await reconnect(shared.engine, await shared.network(id), container);
    await startContainer(container, signal);
  });
}
