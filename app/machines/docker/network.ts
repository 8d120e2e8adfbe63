import type { Container, NetworkCreateOptions } from 'dockerode';
import { callEngine, deadlines, type Engine } from './engine/engine.ts';
import { engineWords, statusOf } from './engine/failures.ts';
import { type Names, sandboxLabel } from './labels.ts';
import { ignoring } from './program.ts';

/**
 * Makes sure that the engine has the network of all our machines, which can't reach one another on
 * it. Returns its name. For Docker: Podman ignores the option that separates machines.
 */
export async function provideSharedNetwork(engine: Engine, names: Names): Promise<string> {
  await createNetwork(engine, {
    Name: names.network,
    Labels: names.labels,
    Options: { 'com.docker.network.bridge.enable_icc': 'false' },
  });
  return names.network;
}

/**
 * Makes the network of one machine, which can't reach other networks. Returns its name. For Podman,
 * whose networks separate machines only if each has its own.
 */
export async function provideOwnNetwork(engine: Engine, names: Names, id: string): Promise<string> {
  await createNetwork(engine, {
    Name: names.machine(id),
    Labels: { ...names.labels, [sandboxLabel]: id },
    Options: { isolate: 'true' },
  });
  return names.machine(id);
}

/** Removes the network of a machine that is gone. A network that does not exist is no error. */
export async function removeOwnNetwork(engine: Engine, names: Names, id: string): Promise<void> {
  const network = engine.docker.getNetwork(names.machine(id));
  await callEngine('remove a network', deadlines.change, (abortSignal) =>
    ignoring(404, network.remove({ abortSignal } as object)),
  );
}

/**
 * Connects a container that does not run to a network that was made anew. Docker still knows the
 * old one by this name.
 */
export async function reconnect({ docker }: Engine, network: string, { id }: Container): Promise<void> {
  const found = docker.getNetwork(network);
  await callEngine('connect the machine', deadlines.change, async (abortSignal) => {
    await found.disconnect({ Container: id, Force: true, abortSignal } as object);
    await found.connect({ Container: id, abortSignal } as object);
  });
}

/** Returns the ids of machines that have a network of their own. */
export async function listOwnNetworks(engine: Engine, names: Names): Promise<string[]> {
  const found = await callEngine('list networks', deadlines.read, (abortSignal) =>
    engine.docker.listNetworks({ filters: names.filters, abortSignal } as object),
  );
  return found.flatMap(({ Labels }) => Labels?.[sandboxLabel] ?? []);
}

async function createNetwork(
  { docker }: Engine,
  config: { Name: string; Labels: Record<string, string>; Options: Record<string, string> },
): Promise<void> {
  await callEngine('make a network', deadlines.change, async (abortSignal) => {
    try {
      await docker.createNetwork({
        ...config,
        Driver: 'bridge',
        CheckDuplicate: true,
        abortSignal,
      } as NetworkCreateOptions);
    } catch (error) {
      // It is there already; newer versions of Podman say so with 500.
      if (statusOf(error) !== 409 && !/already (used|exists)/i.test(engineWords(error))) throw error;
    }
  });
}
