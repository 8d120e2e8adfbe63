import { type ExpressionBuilder, sql } from 'kysely';
import { StoreError } from './errors.ts';
import type { Filter } from './metadata.ts';
import { query } from './query.ts';
import type { OnTimeout, SandboxStatus, Tables } from './schema.ts';
import { searchNewest } from './search.ts';
import type { Db } from './sqlite.ts';

/** A sandbox as a list shows it, at the time of asking. */
export type ListedSandbox = {
  id: string;
  templateId: string | null;
  /** JSON text, ready to be sent */
  metadata: string;
  /** when its current run began */
  startedAt: number;
  /** when it expires, was paused or ended; null: never, or unknown */
  endAt: number | null;
  status: SandboxStatus;
};

/** A sandbox whole, but for `env`, which is left out on purpose. */
export type Sandbox = ListedSandbox & {
  memoryMb: number;
  vcpuCount: number;
  onTimeout: OnTimeout;
  /** null: its current run is the first */
  firstStartedAt: number | null;
  /** JSON text of an object */
  settings: string | null;
};

/** Returns the owner's sandbox. Throws StoreError `not_found`, also when it is somebody else's. */
export async function getSandbox(db: Db, now: number, ownerId: number, id: string): Promise<Sandbox> {
  const sandbox = await findSandbox(db, now, ownerId, id);
  if (!sandbox) throw new StoreError('not_found', 'Sandbox not found');
  return sandbox;
}

/** Returns the owner's sandbox, or null. */
export async function findSandbox(db: Db, now: number, ownerId: number, id: string): Promise<Sandbox | null> {
  return (await selectOne(db, { now, ownerId, id }))[0] ?? null;
}

/** Throws StoreError `paused` unless the sandbox, which has not ended, runs. */
export function requireRunning({ status }: Sandbox): void {
  if (status === 'paused') throw new StoreError('paused', 'Sandbox is paused: resume it first');
}

/** Returns a sandbox, whoever owns it, or null: for what may be known without a credential. */
export async function findAnyonesSandbox(db: Db, now: number, id: string): Promise<Sandbox | null> {
  return (await selectAnyones(db, { now, id }))[0] ?? null;
}

/** As getSandbox. Throws StoreError `ended` as well. */
export async function getLiveSandbox(db: Db, now: number, ownerId: number, id: string): Promise<Sandbox> {
  const sandbox = await getSandbox(db, now, ownerId, id);
  if (sandbox.status === 'killed') throw new StoreError('ended', 'Sandbox has ended');
  return sandbox;
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

/** What a list shows of a sandbox at this time. */
export const listedColumns = (now: number) => (eb: ExpressionBuilder<Tables, 'sandboxes'>) =>
  [
    'sandboxes.id',
    'sandboxes.template_id as templateId',
    'sandboxes.metadata',
    'sandboxes.started_at as startedAt',
    'sandboxes.end_at as endAt',
    statusAt(eb, now).as('status'),
  ] as const;

export const furtherColumns = [
  'sandboxes.memory_mb as memoryMb',
  'sandboxes.vcpu_count as vcpuCount',
  'sandboxes.on_timeout as onTimeout',
  'sandboxes.first_started_at as firstStartedAt',
  'sandboxes.settings',
] as const;

/** The rule of expiry, in SQL: what a sandbox's status is at this time. */
export function statusAt(eb: ExpressionBuilder<Tables, 'sandboxes'>, now: number) {
  return eb
    .case()
    .when(eb.and([eb('sandboxes.status', '=', sql.lit('active')), eb('sandboxes.end_at', '<=', now)]))
    .then(statusAfterTimeout(eb))
    .else(eb.ref('sandboxes.status'))
    .end();
}

export function statusAfterTimeout(eb: ExpressionBuilder<Tables, 'sandboxes'>) {
  return eb
    .case('sandboxes.on_timeout')
    .when(sql.lit('pause' as const))
    .then(sql.lit('paused' as const))
    .else(sql.lit('killed' as const))
    .end();
}

const selectOne = query<{ now: number; ownerId: number; id: string }, Sandbox>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(listedColumns(value('now')))
    .select(furtherColumns)
    .where('id', '=', value('id'))
    .where('owner_id', '=', value('ownerId')),
);

const selectAnyones = query<{ now: number; id: string }, Sandbox>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(listedColumns(value('now')))
    .select(furtherColumns)
    .where('id', '=', value('id')),
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
