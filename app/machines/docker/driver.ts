import { readEngineEnvironment } from '../../config/engine-environment.ts';
import type { Driver, DriverOptions } from '../driver.ts';
import { changesOf } from './changes.ts';
import { openChannel } from './channel.ts';
import { Connection } from './connection.ts';
import { removeContainer } from './containers/create.ts';
import { watchDeaths } from './containers/deaths.ts';
import { readUsage } from './containers/usage.ts';
import { findImage, pullImage } from './images/images.ts';

/**
 * Runs machines as containers of an engine that speaks Docker's API: Docker or Podman. Looks for
 * the engine at the first call, and again after a call that it did not answer.
 */
export function createDockerDriver({ instance, engine, networkRules = true, isGuest = false }: DriverOptions): Driver {
  const closing = new AbortController();
  const until = (signal: AbortSignal) => AbortSignal.any([signal, closing.signal]);
  const connection = new Connection({ instance, engine, networkRules }, readEngineEnvironment(), closing.signal);

  return {
    name: 'docker',
    features: new Set(['pause', 'snapshot', ...(networkRules ? (['egress'] as const) : [])]),
    keepsMemory: false,
    probe: () => connection.probe(),
    create: (spec, signal) => connection.create(spec, until(signal)),
    channel: (id, signal) => connection.withContainer(id, (container) => openChannel(container, until(signal))),
    remove: (id) =>
      connection.use(async (shared) => {
        const container = await connection.find(shared, id);
        if (container !== null) {
          connection.expectDeath(container.id);
          await removeContainer(container);
          connection.forget(id);
        }
        await shared.release(id);
      }),
    list: () => connection.list({ mayTidy: !isGuest }),
    ...changesOf(connection, until),
    deaths: (signal) => watchDeaths(connection, until(signal)),
    usage: (id) => connection.withContainer(id, readUsage),
    image: (reference) => connection.use(({ engine: found }) => findImage(found, reference)),
    pull: (reference, onProgress, signal) =>
      connection.use(({ engine: found }) => pullImage(found, reference, onProgress, until(signal))),
    close: async () => closing.abort(),
  };
}
