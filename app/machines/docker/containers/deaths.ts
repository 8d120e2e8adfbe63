import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { ContainerInspectInfo } from 'dockerode';
import type { Death } from '../../driver.ts';
import { callEngine, deadlines, type Engine } from '../engine/engine.ts';
import { jsonLines } from '../engine/lines.ts';
import { type Names, sandboxLabel } from '../labels.ts';
import { listContainers } from './list.ts';

/** Milliseconds for which an engine may be away before its events count as unreadable. */
const patience = 10_000;
const pause = 200;

/** The part of an engine's event that we read (Docker's API, "Monitor events"). */
type EngineEvent = { Action?: string; status?: string; Actor?: { ID?: string; Attributes?: Record<string, string> } };

/** What `watchDeaths` needs of the driver. */
export type DeathSource = {
  names: Names;
  /** Calls `work` with the engine, found anew if it was away. */
  withEngine: <T>(work: (engine: Engine) => Promise<T>) => Promise<T>;
  /** Whether we ended this container ourselves. */
  isExpected: (containerId: string) => boolean;
};

/**
 * Yields the machines that die, also those that died while nobody listened. Connects anew when the
 * connection breaks. Throws MachineError when the engine stays away.
 */
export async function* watchDeaths(source: DeathSource, signal: AbortSignal): AsyncGenerator<Death> {
  /** When the containers died whose death was reported: one may be started again and die again. */
  const reported = new Map<string, string>();
  let answeredAt = Date.now();
  while (!signal.aborted) {
    try {
      for await (const containerId of stopped(source, signal)) {
        answeredAt = Date.now();
        if (containerId === null || source.isExpected(containerId)) continue;
        const found = await describeDeath(source, containerId);
        if (found === null || reported.get(containerId) === found.at) continue;
        reported.set(containerId, found.at);
        yield found.death;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (Date.now() - answeredAt > patience) throw error;
    }
    await delay(pause, undefined, { signal }).catch(() => {});
  }
}

/**
 * Yields the ids of containers that have stopped, and null once it listens. Ends with the
 * connection.
 */
async function* stopped(source: DeathSource, signal: AbortSignal): AsyncGenerator<string | null> {
  const filters = { ...source.names.filters, type: ['container' as const] };
  const stream = await source.withEngine((engine) =>
    callEngine(
      'report events',
      deadlines.read,
      (abortSignal) => engine.docker.getEvents({ filters, abortSignal }),
      signal,
    ),
  );
  const events = stream as IncomingMessage;
  // Notices an engine on another machine that vanishes.
  events.socket?.setKeepAlive(true, 30_000);
  const stop = () => events.destroy();
  signal.addEventListener('abort', stop, { once: true });
  try {
    yield null;
    // Listed once the stream is open, so that no death falls between the two.
    for (const { containerId, state, wasStarted } of await source.withEngine((engine) =>
      listContainers(engine, source.names),
    ))
      if (state === 'stopped' && wasStarted) yield containerId;
    for await (const event of jsonLines(events)) {
      const { Action, status, Actor } = event as EngineEvent;
      const isDeath = ['die', 'died'].includes(Action ?? status ?? '');
      if (isDeath && Actor?.Attributes?.[sandboxLabel] !== undefined && Actor.ID) yield Actor.ID;
    }
  } finally {
    signal.removeEventListener('abort', stop);
    events.destroy();
  }
}

/** Returns null for a container that somebody has removed since: reconciling notices it. */
async function describeDeath(source: DeathSource, containerId: string): Promise<{ death: Death; at: string } | null> {
  let found: ContainerInspectInfo;
  try {
    found = await source.withEngine((engine) =>
      callEngine('look at the machine', deadlines.read, (abortSignal) =>
        engine.docker.getContainer(containerId).inspect({ abortSignal } as object),
      ),
    );
  } catch {
    return null;
  }
  const { State, Config } = found;
  const id = Config.Labels[sandboxLabel];
  if (!id || State.Running) return null;
  return { death: { id, reason: State.OOMKilled ? 'out_of_memory' : 'exited' }, at: State.FinishedAt };
}
