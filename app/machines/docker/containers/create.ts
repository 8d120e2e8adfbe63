import type { Container } from 'dockerode';
import type { MachineSpec } from '../../driver.ts';
import { MachineError } from '../../error.ts';
import { callEngine, deadlines, requestContainer } from '../engine/engine.ts';
import { engineWords, statusOf } from '../engine/failures.ts';
import { instanceLabel } from '../labels.ts';
import type { Shared } from '../shared.ts';
import { containerConfig } from './container.ts';

/** How often a container that is left from an interrupted create is replaced. */
const mostTries = 3;

/**
 * Creates and starts a container. Resolves if it runs already. Leaves nothing behind on failure,
 * also when the signal aborts: it rejects once everything is removed. Rejects with MachineError.
 */
export async function createContainer(shared: Shared, spec: MachineSpec, signal: AbortSignal): Promise<void> {
  refuseImpossible(shared, spec);
  try {
    await attempt(shared, spec, signal).catch((error) => {
      if (!isMissing(error)) throw error;
      shared.forget();
      return attempt(shared, spec, signal);
    });
  } catch (error) {
    await shared.release(spec.id).catch(() => {
      // The error that is thrown says more. Listing machines removes what is left.
    });
    throw error;
  }
}

/** Throws MachineError `unsupported` for what the engine would refuse or ignore. */
function refuseImpossible({ engine }: Shared, { id, runtime }: MachineSpec): void {
  if (!/^[\w.-]+$/.test(id)) throw new MachineError('unsupported', `a machine can't have the id ${id}`);
  if (runtime !== null && engine.isPodman)
    throw new MachineError(
      'unsupported',
      `Podman does not let its callers choose the runtime ${runtime}: name it in its containers.conf, for all machines`,
    );
}

async function attempt(shared: Shared, spec: MachineSpec, signal: AbortSignal): Promise<void> {
  const volume = await shared.volume(spec.image);
  const processors = await shared.processors();
  const network = await shared.networkOf(spec);
  mustGoOn(signal);
  const config = containerConfig(shared, spec, { volume, network, processors });
  const container = await make(shared, spec, config);
  if (container === null) return;
  try {
    mustGoOn(signal);
    await startContainer(container, signal);
    mustGoOn(signal);
  } catch (error) {
    await removeContainer(container);
    throw error;
  }
}

/**
 * Returns the created container; null if it runs already. The caller's signal can't end this call:
 * the engine might go on and finish it after the container was looked for in vain.
 */
async function make(
  shared: Shared,
  spec: MachineSpec,
  config: ReturnType<typeof containerConfig>,
): Promise<Container | null> {
  const { docker } = shared.engine;
  const create = (abortSignal: AbortSignal) => requestContainer(shared.engine, config, abortSignal);
  for (let tries = 0; ; tries += 1) {
    try {
      return await callEngine('create the machine', deadlines.change, create);
    } catch (error) {
      if (!isConflict(error) || tries === mostTries) {
        if ((error as MachineError).code === 'timeout') await removeLate(shared, spec.id);
        throw error;
      }
      const existing = docker.getContainer(config.name as string);
      const state = await callEngine('look at the machine', deadlines.read, (abortSignal) =>
        existing.inspect({ abortSignal } as object),
      );
      if (state.Config.Labels[instanceLabel] !== shared.names.instance)
        throw new MachineError('failed', `a container that is not ours has the name ${config.name}`);
      if (state.State.Running) return null;
      // It is left from a create that was interrupted.
      await removeContainer(docker.getContainer(state.Id));
    }
  }
}

export async function startContainer(container: Container, signal: AbortSignal): Promise<void> {
  const call = (abortSignal: AbortSignal) => container.start({ abortSignal });
  await callEngine('start the machine', deadlines.change, call, signal);
}

/** Ends a container with everything in it. A container that does not exist is no error. */
export async function removeContainer(container: Container): Promise<void> {
  await callEngine('remove the machine', deadlines.change, async (abortSignal) => {
    try {
      // `v` removes the volumes that an image asks for.
      await container.remove({ force: true, v: true, abortSignal });
    } catch (error) {
      if (statusOf(error) === 404) return;
      if (!/already in progress|being removed/i.test(engineWords(error))) throw error;
      await container.wait({ condition: 'removed', abortSignal }).catch((failure) => {
        if (statusOf(failure) !== 404) throw failure;
      });
    }
  });
}

/** Removes a container that an engine may have made after its deadline. */
async function removeLate({ engine, names }: Shared, id: string): Promise<void> {
  await removeContainer(engine.docker.getContainer(names.machine(id))).catch(() => {
    // The engine is in trouble. Reconciling removes what it leaves.
  });
}

/** Throws MachineError `timeout` when the signal has aborted. */
export function mustGoOn(signal: AbortSignal): void {
  if (signal.aborted) throw new MachineError('timeout', 'the call was given up', { cause: signal.reason });
}

function isConflict(error: unknown): boolean {
  return /already in use|name .* is in use/i.test(causeWords(error));
}

/** Whether the agent's volume or the network is gone: somebody has removed it. */
export function isMissing(error: unknown): boolean {
  return /opt\/sandpit\/agent.*no such file|network .* not found|unable to find network|no such network/i.test(
    causeWords(error),
  );
}

function causeWords(error: unknown): string {
  return error instanceof MachineError ? String((error.cause as Error | undefined)?.message ?? '') : '';
}
