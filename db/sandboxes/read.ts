import { type ExpressionBuilder, sql } from 'kysely';
import { StoreError } from '../errors.ts';
import { query } from '../prepared.ts';
import type { OnTimeout, SandboxStatus, Tables } from '../schema.ts';
import type { Db } from '../store.ts';

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

/** The template name of a sandbox that was started from no template. */
export const noTemplate = 'default';

/** Returns the owner's sandbox. Throws StoreError `not_found`, also when another user owns it. */
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

/** What the contract's list shows of a sandbox at this time, but for its metadata. */
export const listedColumns = (now: number) => (eb: ExpressionBuilder<Tables, 'sandboxes'>) =>
  [
    'sandboxes.id',
    'sandboxes.template_id as templateId',
    'sandboxes.started_at as startedAt',
    'sandboxes.end_at as endAt',
    statusAt(eb, now).as('status'),
  ] as const;

/** What other answers show as well, but for its settings. */
export const furtherColumns = [
  'sandboxes.memory_mb as memoryMb',
  'sandboxes.vcpu_count as vcpuCount',
  'sandboxes.on_timeout as onTimeout',
  'sandboxes.first_started_at as firstStartedAt',
] as const;

export const textColumns = ['sandboxes.metadata', 'sandboxes.settings'] as const;

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
    .select(textColumns)
    .where('id', '=', value('id'))
    .where('owner_id', '=', value('ownerId')),
);

const selectAnyones = query<{ now: number; id: string }, Sandbox>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(listedColumns(value('now')))
    .select(furtherColumns)
    .select(textColumns)
    .where('id', '=', value('id')),
);
