import type { ContainerInfo } from 'dockerode';
import { callEngine, deadlines, type Engine } from '../engine/engine.ts';
import { type Names, sandboxLabel } from '../labels.ts';

/** A container of ours. */
export type OurContainer = { id: string; containerId: string; isRunning: boolean; wasStarted: boolean };

/** Returns all of our machines' containers. */
export async function listContainers(engine: Engine, names: Names): Promise<OurContainer[]> {
  const options = { all: true, filters: names.filters };
  const found: ContainerInfo[] = await callEngine('list the machines', deadlines.read, (abortSignal) =>
    engine.docker.listContainers({ ...options, abortSignal } as object),
  );
  return found.flatMap(({ Id, Labels, State }) => {
    const id = Labels[sandboxLabel];
    const [isRunning, wasStarted] = [State === 'running' || State === 'paused', State !== 'created'];
    return id === undefined ? [] : [{ id, containerId: Id, isRunning, wasStarted }];
  });
}
