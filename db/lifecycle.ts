import { StoreError } from './errors.ts';
import { type JsonObject, parseJson } from './json.ts';
import { metadataText, settingsText } from './metadata.ts';
import { OrdinalCounters } from './ordinals.ts';
import { PairCollector } from './pairs.ts';
import { ordinalOf, positionOf } from './positions.ts';
import { getLiveSandbox, getSandbox, requireRunning, type Sandbox, statusAfterTimeout } from './sandboxes.ts';
import { type Db, type Trx, write } from './sqlite.ts';

/** Returns milliseconds since 1970. A change reads it once it may write: waiting for that takes time as well. */
export type Clock = () => number;

export type Change = {
  /** the new metadata, whole */
  metadata?: JsonObject | undefined;
  /** counted from now */
  lifetimeSeconds?: number | undefined;
  /** what to change of the settings, by a function of what they are */
  settings?: ((settings: JsonObject) => JsonObject) | undefined;
};

/**
 * Changes the owner's sandbox and returns it. A lifetime or settings are for running ones only.
 * Throws StoreError `not_found`, `ended` or `paused`, or `invalid` for settings too large; JsonError for such metadata.
 */
export async function updateSandbox(
  db: Db,
  clock: Clock,
  ownerId: number,
  id: string,
  change: Change,
): Promise<Sandbox> {
  return changeLive(db, clock, ownerId, id, async (trx, sandbox, now) => {
    const { metadata, lifetimeSeconds, settings } = change;
    if (lifetimeSeconds !== undefined || settings) requireRunning(sandbox);
    if (metadata) await replaceMetadata(trx, ownerId, id, metadata);
    if (lifetimeSeconds !== undefined) await setEnd(trx, id, now + lifetimeSeconds * 1000);
    if (settings) {
      const changed = settings(sandbox.settings === null ? {} : (parseJson(sandbox.settings) as JsonObject));
      await trx
        .updateTable('sandboxes')
        .set({ settings: settingsText(changed) })
        .where('id', '=', id)
        .execute();
    }
  });
}

/** Lets the owner's sandbox run at least this long from now, never shorter. Throws as `updateSandbox` does. */
export async function extendSandbox(
  db: Db,
  clock: Clock,
  ownerId: number,
  id: string,
  lifetimeSeconds: number,
): Promise<Sandbox> {
  return changeLive(db, clock, ownerId, id, async (trx, sandbox, now) => {
    requireRunning(sandbox);
    await extend(trx, sandbox, now + lifetimeSeconds * 1000);
  });
}

/** Ends the owner's sandbox. Returns it, and whether it was this call that ended it. Throws StoreError `not_found`. */
export async function endSandbox(
  db: Db,
  clock: Clock,
  ownerId: number,
  id: string,
): Promise<{ sandbox: Sandbox; hasEnded: boolean }> {
  return write(db, async (trx) => {
    const now = clock();
    const sandbox = await getSandbox(trx, now, ownerId, id);
    if (sandbox.status === 'killed') return { sandbox, hasEnded: false };
    await trx.updateTable('sandboxes').set({ status: 'killed', end_at: now }).where('id', '=', id).execute();
    return { sandbox: await getSandbox(trx, now, ownerId, id), hasEnded: true };
  });
}

/** Pauses the owner's sandbox and returns it. Throws StoreError `not_found`, `ended`, or `conflict` when it is paused. */
export async function pauseSandbox(db: Db, clock: Clock, ownerId: number, id: string): Promise<Sandbox> {
  return changeLive(db, clock, ownerId, id, async (trx, sandbox, now) => {
    if (sandbox.status === 'paused') {
      throw new StoreError('conflict', `Error pausing sandbox - sandbox '${id}' is already paused`);
    }
    await trx.updateTable('sandboxes').set({ status: 'paused', end_at: now }).where('id', '=', id).execute();
  });
}

/**
 * Begins a new run of the owner's paused sandbox and returns it.
 * Throws StoreError `not_found`, `ended`, or `conflict` when it runs.
 */
export async function resumeSandbox(
  db: Db,
  clock: Clock,
  ownerId: number,
  id: string,
  lifetimeSeconds: number,
): Promise<Sandbox> {
  return changeLive(db, clock, ownerId, id, async (trx, sandbox, now) => {
    if (sandbox.status === 'active') throw new StoreError('conflict', `Sandbox '${id}' is already running`);
    await startRun(trx, ownerId, id, now, now + lifetimeSeconds * 1000);
  });
}

/**
 * Makes sure that the owner's sandbox runs at least this long from now: a paused one is resumed, a running one never
 * shortened. Returns it, and whether it was resumed.
 * Throws StoreError `not_found`, `ended`, or `invalid` when a paused one is to run for no time.
 */
export async function connectSandbox(
  db: Db,
  clock: Clock,
  ownerId: number,
  id: string,
  lifetimeSeconds: number,
): Promise<{ sandbox: Sandbox; hasResumed: boolean }> {
  let hasResumed = false;
  const sandbox = await changeLive(db, clock, ownerId, id, async (trx, found, now) => {
    hasResumed = found.status === 'paused';
    if (hasResumed && lifetimeSeconds <= 0) throw new StoreError('invalid', 'Timeout must be greater than 0');
    const endAt = now + lifetimeSeconds * 1000;
    if (hasResumed) await startRun(trx, ownerId, id, now, endAt);
    else await extend(trx, found, endAt);
  });
  return { sandbox, hasResumed };
}

/** Marks at most `limit` sandboxes past their end as killed or paused, in one statement. Returns how many. */
export async function endDueSandboxes(trx: Trx, now: number, limit: number): Promise<number> {
  const { numUpdatedRows } = await trx
    .updateTable('sandboxes')
    .set((eb) => ({ status: statusAfterTimeout(eb) }))
    .where('position', 'in', (eb) =>
      eb
        .selectFrom('sandboxes')
        .select('position')
        .where('status', '=', 'active')
        .where('end_at', '<=', now)
        .limit(limit),
    )
    .executeTakeFirst();
  return Number(numUpdatedRows);
}

/** Has `apply` change the owner's sandbox, which has not ended, and returns what it is then. */
async function changeLive(
  db: Db,
  clock: Clock,
  ownerId: number,
  id: string,
  apply: (trx: Trx, sandbox: Sandbox, now: number) => Promise<void>,
): Promise<Sandbox> {
  return write(db, async (trx) => {
    const now = clock();
    await apply(trx, await getLiveSandbox(trx, now, ownerId, id), now);
    return getSandbox(trx, now, ownerId, id);
  });
}

async function extend(trx: Trx, { id, endAt }: Sandbox, to: number): Promise<void> {
  if (endAt !== null && endAt < to) await setEnd(trx, id, to);
}

async function setEnd(trx: Trx, id: string, endAt: number): Promise<void> {
  await trx.updateTable('sandboxes').set({ end_at: endAt }).where('id', '=', id).execute();
}

async function replaceMetadata(trx: Trx, ownerId: number, id: string, metadata: JsonObject): Promise<void> {
  // First: what is too large must cost nothing more.
  const text = metadataText(metadata);
  const old = await placeOf(trx, id);
  await reindex(trx, ownerId, old, { ordinal: old.ordinal, metadata });
  await trx.updateTable('sandboxes').set({ metadata: text }).where('id', '=', id).execute();
}

/** A run has an ordinal of its own: the order of ordinals is that of starts. */
async function startRun(trx: Trx, ownerId: number, id: string, now: number, endAt: number): Promise<void> {
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
      first_started_at: eb.fn.coalesce('first_started_at', 'started_at'),
    }))
    .where('id', '=', id)
    .execute();
}

type Place = { ordinal: number; metadata: JsonObject };

async function placeOf(trx: Trx, id: string): Promise<Place> {
  const found = trx.selectFrom('sandboxes').select(['position', 'metadata']).where('id', '=', id);
  const { position, metadata } = await found.executeTakeFirstOrThrow();
  return { ordinal: ordinalOf(position), metadata: parseJson(metadata) as JsonObject };
}

async function reindex(trx: Trx, ownerId: number, from: Place, to: Place): Promise<void> {
  const pairs = new PairCollector();
  pairs.add(ownerId, from.ordinal, from.metadata);
  await pairs.remove(trx);
  pairs.add(ownerId, to.ordinal, to.metadata);
  await pairs.save(trx);
}
