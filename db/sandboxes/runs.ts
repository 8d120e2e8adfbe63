import { sql } from 'kysely';
import { isoTime } from '../../spec/time.ts';
import { engineOf } from '../engine.ts';
import { StoreError } from '../errors.ts';
import type { Actor, SandboxEvent } from '../events/record.ts';
import type { JsonObject } from '../json/json.ts';
import type { OnTimeout } from '../schema.ts';
import type { Trx } from '../store.ts';
import { changeLive, changeSettings, extend, notBeforeStart, setColumns } from './change.ts';
import type { Sandbox } from './read.ts';

/** Returns the `on_timeout` that a request's flag asks for; undefined if it asks for none. */
export function timeoutActionOf(isPaused: boolean | null | undefined): OnTimeout | undefined {
  return isPaused == null ? undefined : isPaused ? 'pause' : 'kill';
}

/**
 * Pauses the owner's sandbox and returns it. `settings` returns the new settings, given the old and
 * the time of the pause. Throws StoreError `not_found`, `ended`, or `conflict` if it is paused.
 */
export async function pauseSandbox(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  settings?: (old: JsonObject, endAt: number) => JsonObject,
): Promise<Sandbox> {
  return changeLive(trx, now, by, id, async (sandbox) => {
    if (sandbox.status === 'paused') {
      throw new StoreError('conflict', `Error pausing sandbox - sandbox '${id}' is already paused`);
    }
    const endAt = notBeforeStart(sandbox, now);
    await setColumns(trx, id, { status: 'paused', end_at: endAt });
    if (settings) await changeSettings(trx, sandbox, (old) => settings(old, endAt));
    return { kind: 'vm.suspended', details: { from: 'active', to: 'paused', end_at: isoTime(endAt) } };
  });
}

/**
 * Starts a new run of the owner's paused sandbox and returns it. Keeps `onTimeout` unless given.
 * Throws StoreError `not_found`, `ended`, or `conflict` if it is running.
 */
export async function resumeSandbox(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  lifetimeSeconds: number,
  onTimeout?: OnTimeout,
): Promise<Sandbox> {
  return changeLive(trx, now, by, id, async (sandbox) => {
    if (sandbox.status === 'active') throw new StoreError('conflict', `Sandbox '${id}' is already running`);
    if (onTimeout !== undefined) await setColumns(trx, id, { on_timeout: onTimeout });
    return startRun(trx, by.ownerId, id, now, now + lifetimeSeconds * 1000);
  });
}

/**
 * Makes the owner's sandbox run at least this long from now: resumes a paused one, never shortens
 * the lifetime of a running one. Returns it, and whether it was resumed.
 * Throws StoreError `not_found`, `ended`, or `invalid` if a paused one would get no lifetime.
 */
export async function connectSandbox(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  lifetimeSeconds: number,
): Promise<{ sandbox: Sandbox; hasResumed: boolean }> {
  let hasResumed = false;
  const sandbox = await changeLive(trx, now, by, id, async (found) => {
    hasResumed = found.status === 'paused';
    if (hasResumed && lifetimeSeconds <= 0) throw new StoreError('invalid', 'Timeout must be greater than 0');
    const endAt = now + lifetimeSeconds * 1000;
    return hasResumed ? startRun(trx, by.ownerId, id, now, endAt) : extend(trx, found, endAt);
  });
  return { sandbox, hasResumed };
}

async function startRun(trx: Trx, ownerId: number, id: string, now: number, endAt: number): Promise<SandboxEvent> {
  const position = await engineOf(trx).index.move(trx, ownerId, id, now);
  await trx
    .updateTable('sandboxes')
    .set((eb) => ({
      position,
      status: 'active',
      started_at: now,
      end_at: endAt,
      // The clock may have been set back: the first run is the one with the earliest start.
      first_started_at: sql<number>`min(${eb.fn.coalesce('first_started_at', 'started_at')}, ${now})`,
    }))
    .where('id', '=', id)
    .execute();
  return { kind: 'vm.resumed', details: { from: 'paused', to: 'active', end_at: isoTime(endAt) } };
}
