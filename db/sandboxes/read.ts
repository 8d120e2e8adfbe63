import { type ExpressionBuilder, sql } from 'kysely';
import { StoreError } from '../errors.ts';
import { query } from '../prepared.ts';
import type { OnTimeout, SandboxStatus, Tables } from '../schema.ts';
import type { Db } from '../store.ts';

/** A sandbox as the contract's list shows it at a given time. */
export type ListedSandbox = {
  id: string;
  templateId: string | null;
  /** JSON text */
  metadata: string;
  /** when its current run started */
  startedAt: number;
  /** when it expires, was paused or ended; null: never, or unknown */
  endAt: number | null;
  status: SandboxStatus;
};

/** A complete sandbox, except for `env`, which is never read back. */
export type Sandbox = ListedSandbox & {
  memoryMb: number;
  vcpuCount: number;
  onTimeout: OnTimeout;
  /** when its first run started; null: its current run is the first */
  firstStartedAt: number | null;
  /** the session that it was started in; null: a session of its own */
  sessionId: string | null;
  devboxName: string | null;
  devboxTemplateSlug: string | null;
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

/** Throws StoreError `paused` if the sandbox, which has not ended, is not running. */
export function requireRunning({ status }: Sandbox): void {
  if (status === 'paused') throw new StoreError('paused', 'Sandbox is paused: resume it first');
}

/** Returns any owner's sandbox, or null. Use it only for what is public. */
export async function findAnyonesSandbox(db: Db, now: number, id: string): Promise<Sandbox | null> {
  return (await selectAnyones(db, { now, id }))[0] ?? null;
}

/** Returns the owner's sandbox. Throws StoreError `not_found`, or `ended` if it has ended. */
export async function getLiveSandbox(db: Db, now: number, ownerId: number, id: string): Promise<Sandbox> {
  const sandbox = await getSandbox(db, now, ownerId, id);
  if (sandbox.status === 'killed') throw new StoreError('ended', 'Sandbox has ended');
  return sandbox;
}

/** The columns of the contract's list at a given time, except the metadata. */
export const listedColumns = (now: number) => (eb: ExpressionBuilder<Tables, 'sandboxes'>) =>
  [
    'sandboxes.id',
    'sandboxes.template_id as templateId',
    'sandboxes.started_at as startedAt',
    'sandboxes.end_at as endAt',
    statusAt(eb, now).as('status'),
  ] as const;

/** The further columns that other responses show, except the settings. */
export const furtherColumns = [
  'sandboxes.memory_mb as memoryMb',
  'sandboxes.vcpu_count as vcpuCount',
  'sandboxes.on_timeout as onTimeout',
  'sandboxes.first_started_at as firstStartedAt',
  'sandboxes.session_id as sessionId',
  'sandboxes.devbox_name as devboxName',
  'sandboxes.devbox_template_slug as devboxTemplateSlug',
] as const;

export const textColumns = ['sandboxes.metadata', 'sandboxes.settings'] as const;

/** SQL for the status at a given time. This is the rule of expiry. */
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
