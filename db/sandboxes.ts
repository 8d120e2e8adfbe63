import { type ExpressionBuilder, sql } from 'kysely';
import { StoreError } from './errors.ts';
import { type JsonObject, parseJson } from './json.ts';
import { type Filter, metadataText } from './metadata.ts';
import { PairCollector, removePairs } from './pairs.ts';
import { ordinalOf } from './positions.ts';
import { query } from './query.ts';
import type { SandboxStatus, Tables } from './schema.ts';
import { searchNewest } from './search.ts';
import { type Db, type Trx, write } from './sqlite.ts';

/** Returns milliseconds since 1970. A change reads it once it may write: waiting for that takes time as well. */
export type Clock = () => number;

/** A sandbox as a list shows it, at the time of asking. */
export type ListedSandbox = {
  id: string;
  templateId: string | null;
  /** JSON text, ready to be sent */
  metadata: string;
  startedAt: number;
  /** null once it can't expire any more */
  endAt: number | null;
  status: SandboxStatus;
};

/** A sandbox whole, but for `env`, which is left out on purpose. */
export type Sandbox = ListedSandbox & { memoryMb: number; vcpuCount: number };

/** Returns the owner's sandbox. Throws StoreError `not_found`, also when it is somebody else's. */
export async function getSandbox(db: Db, now: number, ownerId: number, id: string): Promise<Sandbox> {
  const [row] = await selectOne(db, { now, ownerId, id });
  if (!row) throw new StoreError('not_found', 'Sandbox not found');
  return row;
}

/** Returns at most `limit` of the owner's sandboxes whose metadata contains the filter, newest first, ties by id. */
export async function listSandboxes(
  db: Db,
  now: number,
  ownerId: number,
  { filter, limit }: { filter: Filter; limit: number },
): Promise<ListedSandbox[]> {
  if (filter.pairs.length === 0) return selectNewest(db, { now, ownerId, limit });
  return searchNewest(db, { ownerId, filter, limit }, (snapshot, positions) =>
    selectAt(snapshot, { now, positions: JSON.stringify(positions) }),
  );
}

/**
 * Replaces the sandbox's metadata, sets its lifetime anew from now, or both, and returns it.
 * Throws StoreError `not_found`, or `conflict` when it has ended; JsonError when the metadata is too large.
 */
export async function updateSandbox(
  db: Db,
  clock: Clock,
  ownerId: number,
  id: string,
  change: { metadata?: JsonObject | undefined; lifetimeSeconds?: number | undefined },
): Promise<Sandbox> {
  return write(db, async (trx) => {
    const now = clock();
    const { status } = await getSandbox(trx, now, ownerId, id);
    if (status === 'killed') throw new StoreError('conflict', 'Sandbox has ended');
    if (change.metadata) await replaceMetadata(trx, ownerId, id, change.metadata);
    if (change.lifetimeSeconds !== undefined) {
      const endAt = now + change.lifetimeSeconds * 1000;
      await trx.updateTable('sandboxes').set({ end_at: endAt }).where('id', '=', id).execute();
    }
    return getSandbox(trx, now, ownerId, id);
  });
}

async function replaceMetadata(trx: Trx, ownerId: number, id: string, metadata: JsonObject): Promise<void> {
  // First: what is too large must cost nothing more.
  const text = metadataText(metadata);
  const found = trx.selectFrom('sandboxes').select(['position', 'metadata']).where('id', '=', id);
  const old = await found.executeTakeFirstOrThrow();
  const ordinal = ordinalOf(old.position);
  await removePairs(trx, ownerId, ordinal, parseJson(old.metadata) as JsonObject);
  const pairs = new PairCollector();
  pairs.add(ownerId, ordinal, metadata);
  await pairs.save(trx);
  await trx.updateTable('sandboxes').set({ metadata: text }).where('id', '=', id).execute();
}

/** Ends the owner's sandbox, once, and returns it. Throws StoreError `not_found`. */
export async function endSandbox(db: Db, clock: Clock, ownerId: number, id: string): Promise<Sandbox> {
  return write(db, async (trx) => {
    const now = clock();
    const sandbox = await getSandbox(trx, now, ownerId, id);
    if (sandbox.status === 'killed') return sandbox;
    await trx.updateTable('sandboxes').set({ status: 'killed', end_at: now }).where('id', '=', id).execute();
    return getSandbox(trx, now, ownerId, id);
  });
}

/** Marks at most `limit` sandboxes past their end as killed, in one statement. Returns how many. */
export async function endDueSandboxes(trx: Trx, now: number, limit: number): Promise<number> {
  const { numUpdatedRows } = await trx
    .updateTable('sandboxes')
    .set({ status: 'killed' })
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

/** Returns every owner's sandboxes with their owners' names and env, oldest first, as they were stored. */
export function exportSandboxes(
  db: Db,
  now: number,
): AsyncIterableIterator<Sandbox & { owner: string; env: string | null }> {
  return db
    .selectFrom('sandboxes')
    .innerJoin('users', 'users.id', 'sandboxes.owner_id')
    .select(listedColumns(now))
    .select(furtherColumns)
    .select(['sandboxes.end_at as endAt', 'sandboxes.env', 'users.name as owner'])
    .orderBy('sandboxes.started_at')
    .orderBy('sandboxes.id')
    .stream();
}

/** What a list shows of a sandbox at this time. */
const listedColumns = (now: number) => (eb: ExpressionBuilder<Tables, 'sandboxes'>) => {
  const isActive = eb('sandboxes.status', '=', sql.lit('active'));
  const hasExpired = eb.and([isActive, eb('sandboxes.end_at', '<=', now)]);
  const canExpire = eb.and([isActive, eb('sandboxes.end_at', '>', now)]);
  return [
    'sandboxes.id',
    'sandboxes.template_id as templateId',
    'sandboxes.metadata',
    'sandboxes.started_at as startedAt',
    eb.case().when(canExpire).then(eb.ref('sandboxes.end_at')).end().as('endAt'),
    eb
      .case()
      .when(hasExpired)
      .then(sql.lit('killed' as const))
      .else(eb.ref('sandboxes.status'))
      .end()
      .as('status'),
  ] as const;
};

const furtherColumns = ['sandboxes.memory_mb as memoryMb', 'sandboxes.vcpu_count as vcpuCount'] as const;

const selectOne = query<{ now: number; ownerId: number; id: string }, Sandbox>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(listedColumns(value('now')))
    .select(furtherColumns)
    .where('id', '=', value('id'))
    .where('owner_id', '=', value('ownerId')),
);

const selectNewest = query<{ now: number; ownerId: number; limit: number }, ListedSandbox>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(listedColumns(value('now')))
    .where('owner_id', '=', value('ownerId'))
    .orderBy('started_at', 'desc')
    .orderBy('id')
    .limit(value('limit')),
);

const selectAt = query<{ now: number; positions: string }, ListedSandbox>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(listedColumns(value('now')))
    .where('position', 'in', sql<number>`(select value from json_each(${value('positions')}))`),
);
