import type { Container } from 'dockerode';
import { MachineError } from '../../error.ts';
import { callEngine, deadlines } from '../engine/engine.ts';
import { stateOf } from './list.ts';

/**
 * Changes how much memory a container may use, in MiB, without swap, as when it was made. Rejects
 * with `unsupported` for an engine that can't, as Podman 4 can't through Docker's API.
 */
export async function resizeContainer(container: Container, memoryMb: number): Promise<void> {
  const memory = memoryMb * 2 ** 20;
  try {
    await callEngine('change the memory of the machine', deadlines.change, (abortSignal) =>
      container.update({ Memory: memory, MemorySwap: memory, abortSignal }),
    );
  } catch (error) {
    if (!(error instanceof MachineError) || error.code !== 'gone') throw error;
    // Such an engine answers as if there was no container. This throws if there is none.
    await stateOf(container);
    throw new MachineError('unsupported', fixed, { cause: error });
  }
}

const fixed =
  'memory_mb is not offered here: this engine fixes the memory of a machine when it starts; create another sandbox';
