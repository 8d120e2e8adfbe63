import type { Container, ContainerInfo } from 'dockerode';
import type { MachineState } from '../../driver.ts';
import { callEngine, deadlines, type Engine } from '../engine/engine.ts';
import { type Names, sandboxLabel } from '../labels.ts';

/** A container of ours. */
export type OurContainer = { id: string; containerId: string; state: MachineState; wasStarted: boolean };

/** Returns all of our machines' containers. */
export async function listContainers(engine: Engine, names: Names): Promise<OurContainer[]> {
  const options = { all: true, filters: names.filters };
  const found: ContainerInfo[] = await callEngine('list the machines', deadlines.read, (abortSignal) =>
    engine.docker.listContainers({ ...options, abortSignal } as object),
  );
  return found.flatMap(({ Id, Labels, State }) => {
    const id = Labels[sandboxLabel];
    const state = State === 'running' || State === 'paused' ? State : 'stopped';
    // Containers that others make from our snapshots have the label, and no value.
    return id ? [{ id, containerId: Id, state, wasStarted: State !== 'created' }] : [];
  });
}

/** Returns the state of a container. Rejects with `gone` when there is none. */
export async function stateOf(container: Container): Promise<MachineState> {
  const { State } = await callEngine('look at the machine', deadlines.read, (abortSignal) =>
    container.inspect({ abortSignal } as object),
  );
  if (State.Paused) return 'paused';
  return State.Running ? 'running' : 'stopped';
}
