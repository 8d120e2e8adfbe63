import type { Updateable } from 'kysely';
import { isoTime } from '../../spec/time.ts';
import { engineOf } from '../engine.ts';
import { type Actor, recordOfSandbox, type SandboxEvent } from '../events/record.ts';
import { type JsonObject, parseJson } from '../json/json.ts';
import { metadataText, settingsText } from '../metadata.ts';
import type { OnTimeout, SandboxesTable } from '../schema.ts';
import type { Trx } from '../store.ts';
import { endLive, expire, settle } from './expire.ts';
import { getLiveSandbox, getSandbox, requireRunning, type Sandbox } from './read.ts';

export type Change = {
  /** replaces the old metadata */
  metadata?: JsonObject | undefined;
  /** counted from now */
  lifetimeSeconds?: number | undefined;
  memoryMb?: number | undefined;
  onTimeout?: OnTimeout | undefined;
  /** returns the new settings, given the old */
  settings?: SettingsChange | undefined;
  /** The same, also of a paused sandbox: `networkWaits` then says that its machine was not told. */
  network?: SettingsChange | undefined;
};

type SettingsChange = (settings: JsonObject) => JsonObject;

/**
 * Changes the owner's sandbox and returns it. Only a running sandbox takes a lifetime or settings.
 * Throws StoreError `not_found`, `ended`, `paused`, or `invalid` when the settings are too large,
 * JsonError when the metadata is.
 */
export async function updateSandbox(trx: Trx, now: number, by: Actor, id: string, change: Change): Promise<Sandbox> {
  return changeLive(trx, now, by, id, async (sandbox) => {
    const { metadata, lifetimeSeconds, memoryMb, onTimeout, settings, network } = change;
    if (lifetimeSeconds !== undefined || settings) requireRunning(sandbox);
    const endAt = lifetimeSeconds === undefined ? null : notBeforeStart(sandbox, now + lifetimeSeconds * 1000);
    if (metadata) await replaceMetadata(trx, by.ownerId, id, metadata);
    const columns = { end_at: endAt ?? undefined, memory_mb: memoryMb, on_timeout: onTimeout };
    if (Object.values(columns).some((value) => value !== undefined)) await setColumns(trx, id, columns);
    if (settings) await changeSettings(trx, sandbox, settings);
    if (network) await changeSettings(trx, sandbox, waiting(network, sandbox.status === 'paused'));
    const event = updated(
      definedNames({ metadata, settings: settings ?? network, memory_mb: memoryMb, on_timeout: onTimeout }),
      endAt,
    );
    if (lifetimeSeconds !== 0 || event === null) return event;
    // A lifetime of 0 ends the run now, even if the clock is set back to before its start.
    await recordOfSandbox(trx, now, by, id, event);
    await expire(trx, now, id);
    return null;
  });
}

function waiting(change: SettingsChange, networkWaits: boolean): SettingsChange {
  return (old) => {
    const { networkWaits: _, ...settings } = change(old);
    return networkWaits ? { ...settings, networkWaits } : settings;
  };
}

/** Returns the end, but never before the start: the clock may have been set back in between. */
export function notBeforeStart({ startedAt }: Sandbox, end: number): number {
  return Math.max(startedAt, end);
}

function definedNames(values: Record<string, unknown>): string[] {
  return Object.keys(values).filter((name) => values[name] !== undefined);
}

/**
 * Makes the owner's sandbox run at least this long from now; never shortens its lifetime. Returns
 * it.
 * Throws StoreError `not_found`, `ended` or `paused`.
 */
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

/**
 * Ends the owner's sandbox. Returns it, and whether this call ended it. Throws StoreError
 * `not_found`.
 */
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

/**
 * Calls `apply` with the owner's sandbox, which has not ended, records the event that it returns,
 * and returns the changed sandbox. Throws StoreError `not_found` or `ended`, and what `apply`
 * throws.
 */
export async function changeLive(
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

/**
 * Moves the end of a running sandbox to a time unless it is later already. Returns the event, if
 * any.
 */
export async function extend(trx: Trx, { id, endAt }: Sandbox, to: number): Promise<SandboxEvent | null> {
  if (endAt === null || endAt >= to) return null;
  await setColumns(trx, id, { end_at: to });
  return updated([], to);
}

export async function setColumns(trx: Trx, id: string, columns: Updateable<SandboxesTable>): Promise<void> {
  await trx.updateTable('sandboxes').set(columns).where('id', '=', id).execute();
}

function updated(changed: string[], endAt: number | null): SandboxEvent | null {
  if (endAt === null) return changed.length > 0 ? { kind: 'vm.updated', details: { changed } } : null;
  return { kind: 'vm.updated', details: { changed: [...changed, 'end_at'], end_at: isoTime(endAt) } };
}

/** Changes a sandbox's settings unless `change` returns the object that it got. */
export async function changeSettings(trx: Trx, { id, settings }: Sandbox, change: SettingsChange): Promise<void> {
  const old = settings === null ? {} : (parseJson(settings) as JsonObject);
  const changed = change(old);
  if (changed !== old) await setColumns(trx, id, { settings: settingsText(changed) });
}

async function replaceMetadata(trx: Trx, ownerId: number, id: string, metadata: JsonObject): Promise<void> {
  // Before the index, so that metadata that is too large costs nothing more.
  const text = metadataText(metadata);
  await engineOf(trx).index.replace(trx, ownerId, id, metadata);
  await setColumns(trx, id, { metadata: text });
}
