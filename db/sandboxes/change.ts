import { sql, type Updateable } from 'kysely';
import { isoTime } from '../../spec/time.ts';
import { StoreError } from '../errors.ts';
import { type Actor, recordOfSandbox, type SandboxEvent } from '../events/record.ts';
import { type JsonObject, parseJson } from '../json/json.ts';
import { metadataText, settingsText } from '../metadata.ts';
import type { OnTimeout, SandboxesTable } from '../schema.ts';
import { OrdinalCounters } from '../sqlite/index/ordinals.ts';
import { indexedPairs, PairCollector } from '../sqlite/index/pairs.ts';
import { ordinalOf, positionOf } from '../sqlite/index/positions.ts';
import type { Trx } from '../store.ts';
import { endLive, expire, settle } from './expire.ts';
import { getLiveSandbox, getSandbox, requireRunning, type Sandbox } from './read.ts';

/** Returns what happens to a sandbox at its end; undefined when the request does not say. */
export function timeoutActionOf(isPaused: boolean | null | undefined): OnTimeout | undefined {
  return isPaused == null ? undefined : isPaused ? 'pause' : 'kill';
}

export type Change = {
  /** the new metadata, whole */
  metadata?: JsonObject | undefined;
  /** counted from now */
  lifetimeSeconds?: number | undefined;
  memoryMb?: number | undefined;
  onTimeout?: OnTimeout | undefined;
  /** what to change of the settings, by a function of what they are */
  settings?: SettingsChange | undefined;
};

type SettingsChange = (settings: JsonObject) => JsonObject;

/**
 * Changes the owner's sandbox and returns it. A lifetime or settings are for running ones only.
 * Throws StoreError `not_found`, `ended` or `paused`, or `invalid` for settings too large; JsonError for such metadata.
 */
export async function updateSandbox(trx: Trx, now: number, by: Actor, id: string, change: Change): Promise<Sandbox> {
  return changeLive(trx, now, by, id, async (sandbox) => {
    const { metadata, lifetimeSeconds, memoryMb, onTimeout, settings } = change;
    if (lifetimeSeconds !== undefined || settings) requireRunning(sandbox);
    const endAt = lifetimeSeconds === undefined ? null : notBeforeStart(sandbox, now + lifetimeSeconds * 1000);
    if (metadata) await replaceMetadata(trx, by.ownerId, id, metadata);
    const columns = { end_at: endAt ?? undefined, memory_mb: memoryMb, on_timeout: onTimeout };
    if (Object.values(columns).some((value) => value !== undefined)) await setColumns(trx, id, columns);
    if (settings) await changeSettings(trx, sandbox, settings);
    const event = updated(namesOf({ metadata, settings, memory_mb: memoryMb, on_timeout: onTimeout }), endAt);
    if (lifetimeSeconds !== 0 || event === null) return event;
    // Also where the clock went back and shows a time before the start.
    await recordOfSandbox(trx, now, by, id, event);
    await expire(trx, now, id);
    return null;
  });
}

/** Returns an end as it may be kept: the clock may have gone back since the sandbox started. */
function notBeforeStart({ startedAt }: Sandbox, end: number): number {
  return Math.max(startedAt, end);
}

/** Returns the names of the values that there are. */
function namesOf(values: Record<string, unknown>): string[] {
  return Object.keys(values).filter((name) => values[name] !== undefined);
}

/** Lets the owner's sandbox run at least this long from now, never shorter. Throws as `updateSandbox` does. */
export async function extendSandbox(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  lifetimeSeconds: number,
): Promise<Sandbox> {
  return changeLive(trx, now, by, id, async (sandbox) => {
    requireRunning(sandbox);
    return extend(trx, sandbox, now + lifetimeSeconds * 1000);
  });
}

/** Ends the owner's sandbox. Returns it, and whether it was this call that ended it. Throws StoreError `not_found`. */
export async function endSandbox(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
): Promise<{ sandbox: Sandbox; hasEnded: boolean }> {
  const sandbox = await getSandbox(trx, now, by.ownerId, id);
  if (sandbox.status === 'killed') return { sandbox, hasEnded: false };
  await endLive(trx, now, by, [sandbox]);
  return { sandbox: await getSandbox(trx, now, by.ownerId, id), hasEnded: true };
}

/** Pauses the owner's sandbox and returns it. Throws StoreError `not_found`, `ended`, or `conflict` when it is paused. */
export async function pauseSandbox(trx: Trx, now: number, by: Actor, id: string): Promise<Sandbox> {
  return changeLive(trx, now, by, id, async (sandbox) => {
    if (sandbox.status === 'paused') {
      throw new StoreError('conflict', `Error pausing sandbox - sandbox '${id}' is already paused`);
    }
    const endAt = notBeforeStart(sandbox, now);
    await setColumns(trx, id, { status: 'paused', end_at: endAt });
    return { kind: 'vm.suspended', details: { from: 'active', to: 'paused', end_at: isoTime(endAt) } };
  });
}

/**
 * Begins a new run of the owner's paused sandbox and returns it. `onTimeout` stays as it was unless given.
 * Throws StoreError `not_found`, `ended`, or `conflict` when it runs.
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
 * Makes sure that the owner's sandbox runs at least this long from now: a paused one is resumed, a running one never
 * shortened. Returns it, and whether it was resumed.
 * Throws StoreError `not_found`, `ended`, or `invalid` when a paused one is to run for no time.
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

/** Has `apply` change the owner's sandbox, which has not ended, records what it says has happened, and returns what it is then. */
async function changeLive(
  trx: Trx,
  now: number,
  by: Actor,
  id: string,
  apply: (sandbox: Sandbox) => Promise<SandboxEvent | null>,
): Promise<Sandbox> {
  const sandbox = await getLiveSandbox(trx, now, by.ownerId, id);
  await settle(trx, now, [sandbox]);
  const event = await apply(sandbox);
  if (event) await recordOfSandbox(trx, now, by, id, event);
  return getSandbox(trx, now, by.ownerId, id);
}

function updated(changed: string[], endAt: number | null): SandboxEvent | null {
  if (endAt === null) return changed.length > 0 ? { kind: 'vm.updated', details: { changed } } : null;
  return { kind: 'vm.updated', details: { changed: [...changed, 'end_at'], end_at: isoTime(endAt) } };
}

async function extend(trx: Trx, { id, endAt }: Sandbox, to: number): Promise<SandboxEvent | null> {
  if (endAt === null || endAt >= to) return null;
  await setColumns(trx, id, { end_at: to });
  return updated([], to);
}

async function changeSettings(trx: Trx, { id, settings }: Sandbox, change: SettingsChange): Promise<void> {
  const changed = settingsText(change(settings === null ? {} : (parseJson(settings) as JsonObject)));
  await trx.updateTable('sandboxes').set({ settings: changed }).where('id', '=', id).execute();
}

async function setColumns(trx: Trx, id: string, columns: Updateable<SandboxesTable>): Promise<void> {
  await trx.updateTable('sandboxes').set(columns).where('id', '=', id).execute();
}

async function replaceMetadata(trx: Trx, ownerId: number, id: string, metadata: JsonObject): Promise<void> {
  // First: what is too large must cost nothing more.
  const text = metadataText(metadata);
  const old = await placeOf(trx, id);
  await reindex(trx, ownerId, old, { ordinal: old.ordinal, metadata });
  await trx.updateTable('sandboxes').set({ metadata: text }).where('id', '=', id).execute();
}

/** A run has an ordinal of its own: the order of ordinals is that of starts. */
async function startRun(trx: Trx, ownerId: number, id: string, now: number, endAt: number): Promise<SandboxEvent> {
  const old = await placeOf(trx, id);
  const ordinals = new OrdinalCounters(trx);
  const ordinal = await ordinals.claim(ownerId, now);
  await ordinals.save();
  await reindex(trx, ownerId, old, { ordinal, metadata: old.metadata });
  await trx
    .updateTable('sandboxes')
    .set((eb) => ({
      position: positionOf(ownerId, ordinal),
      status: 'active',
      started_at: now,
      end_at: endAt,
      // The clock may have gone back: no run began before the first.
      first_started_at: sql<number>`min(${eb.fn.coalesce('first_started_at', 'started_at')}, ${now})`,
    }))
    .where('id', '=', id)
    .execute();
  return { kind: 'vm.resumed', details: { from: 'paused', to: 'active', end_at: isoTime(endAt) } };
}

type Place = { ordinal: number; metadata: JsonObject };

async function placeOf(trx: Trx, id: string): Promise<Place> {
  const found = trx.selectFrom('sandboxes').select(['position', 'metadata']).where('id', '=', id);
  const { position, metadata } = await found.executeTakeFirstOrThrow();
  return { ordinal: ordinalOf(position), metadata: parseJson(metadata) as JsonObject };
}

/** Writes what differs between the pairs of two places. */
async function reindex(trx: Trx, ownerId: number, from: Place, to: Place): Promise<void> {
  const [old, wanted] = [indexedPairs(from.metadata), indexedPairs(to.metadata)];
  const kept = from.ordinal === to.ordinal ? new Set(old).intersection(new Set(wanted)) : new Set<string>();
  const differing = (pairs: string[]) => pairs.filter((pair) => !kept.has(pair));
  const pairs = new PairCollector();
  pairs.add(ownerId, from.ordinal, differing(old));
  await pairs.remove(trx);
  pairs.add(ownerId, to.ordinal, differing(wanted));
  await pairs.save(trx);
}
