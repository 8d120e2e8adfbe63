import type { Container } from 'dockerode';
import { callEngine, deadlines } from '../engine/engine.ts';
import { whileFreezable } from './freeze.ts';
import { stateOf } from './list.ts';

/** Freezes a container. A frozen one is no error. Rejects with `gone` when it does not run. */
export async function pauseContainer(container: Container): Promise<void> {
  try {
    await whileFreezable(() =>
      callEngine('pause the machine', deadlines.change, (abortSignal) => container.pause({ abortSignal })),
    );
  } catch (error) {
    if ((await stateOf(container)) !== 'paused') throw error;
  }
}

/**
 * Ends all processes of a container, which stays. Resolves once they are gone. A container that
 * does not run is no error.
 */
export async function stopContainer(container: Container): Promise<void> {
  try {
    // Podman stops no frozen container, but it kills one.
    await callEngine('stop the machine', deadlines.change, (abortSignal) =>
      container.kill({ signal: 'SIGKILL', abortSignal }),
    );
  } catch (error) {
    if ((await stateOf(container)) !== 'stopped') throw error;
  }
  await callEngine('stop the machine', deadlines.change, (abortSignal) =>
    container.wait({ condition: 'not-running', abortSignal }),
  );
}
