import type { Agent } from '../agent/agent.ts';
import type { Connections } from '../connections.ts';
import type { Driver, MachineSpec } from '../driver.ts';
import type { Removals } from '../lifecycle/removals.ts';
import { untilAborted } from '../until-aborted.ts';

type Parts = { driver: Pick<Driver, 'create'>; connections: Connections; removals: Removals };

/**
 * Makes a machine whose row is written, and connects to its agent. On failure nothing of it stays,
 * its row neither. Throws MachineError and the reason of the signal.
 */
export async function makeMachine(parts: Parts, spec: MachineSpec, signal: AbortSignal): Promise<Agent> {
  let creating: Promise<void> | undefined;
  try {
    signal.throwIfAborted();
    creating = parts.driver.create(spec, signal);
    await untilAborted(creating, signal);
    return await untilAborted(parts.connections.connect(spec.id, signal, spec.network), signal);
  } catch (error) {
    const drop = () => dropMachine(parts, spec.id);
    drop();
    // Again, if the engine still makes it after that.
    creating?.then(drop, drop);
    throw error;
  }
}

/** Removes a machine and its row, in the background. */
export function dropMachine({ connections, removals }: Omit<Parts, 'driver'>, id: string): void {
  connections.close(id);
  removals.add(id);
}
