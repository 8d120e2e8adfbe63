import type { NetworkCreateOptions } from 'dockerode';
import { callEngine, deadlines, type Engine } from './engine/engine.ts';
import { statusOf } from './engine/failures.ts';
import type { Names } from './labels.ts';

/**
 * Makes sure that the engine has the network of our machines, which can't reach one another on it.
 */
export async function provideNetwork(engine: Engine, names: Names): Promise<string> {
  const config = {
    Name: names.network,
    Driver: 'bridge',
    Labels: names.labels,
    CheckDuplicate: true,
    Options: { 'com.docker.network.bridge.enable_icc': 'false' },
  };
  await callEngine('make a network', deadlines.change, async (abortSignal) => {
    const found = await engine.docker.listNetworks({ filters: names.filters, abortSignal } as object);
    if (found.some(({ Name }) => Name === names.network)) return;
    try {
      await engine.docker.createNetwork({ ...config, abortSignal } as NetworkCreateOptions);
    } catch (error) {
      // Another process of ours was faster.
      if (statusOf(error) !== 409) throw error;
    }
  });
  return names.network;
}
