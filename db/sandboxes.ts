import { randomBytes } from 'node:crypto';
import { type ExpressionBuilder, sql } from 'kysely';
import { StoreError } from './errors.ts';
import type { JsonObject } from './json.ts';
import { type Filter, metadataText, pairsOf } from './metadata.ts';
import type { SandboxStatus, Tables } from './schema.ts';
import { type Db, isUniqueViolation, type Trx, write } from './sqlite.ts';

/** A sandbox as it is at the time of asking. `env` is left out on purpose. */
export type Sandbox = {
  id: string;
  templateId: string | null;
  /** JSON text, ready to be sent */
  metadata: string;
  memoryMb: number;
  vcpuCount: number;
  startedAt: number;
  /** null once it can't expire any more */
  endAt: number | null;
  status: SandboxStatus;
};

export type NewSandbox = {
  id: string;
  ownerId: number;
  templateId: string | null;
  metadata: JsonObject;
  env: Record<string, string> | null;
  memoryMb: number;
  vcpuCount: number;
  startedAt: number;
  endAt: number | null;
  status: SandboxStatus;
};

/** Returns a new id: `i` and 20 of `[a-z0-9]`, 103 random bits; E2B's clients take no other alphabet. */
export function newSandboxId(): string {
  const digits = [...randomBytes(48)].filter((byte) => byte < 252).map((byte) => (byte % 36).toString(36));
  return digits.length < 20 ? newSandboxId() : `i${digits.slice(0, 20).join('')}`;
}

/**
 * Adds a sandbox with its metadata's pairs.
 * Throws StoreError `conflict` when the id is taken, JsonError when the metadata is too large.
 */
export async function insertSandbox(trx: Trx, sandbox: NewSandbox): Promise<void> {
  try {
    await trx
      .insertInto('sandboxes')
      .values({
        id: sandbox.id,
        owner_id: sandbox.ownerId,
        template_id: sandbox.templateId,
        metadata: metadataText(sandbox.metadata),
        env: sandbox.env && JSON.stringify(sandbox.env),
        memory_mb: sandbox.memoryMb,
        vcpu_count: sandbox.vcpuCount,
        started_at: sandbox.startedAt,
        end_at: sandbox.endAt,
        status: sandbox.status,
      })
      .execute();
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new StoreError('conflict', `a sandbox ${sandbox.id} exists already`, { cause: error });
  }
  await insertPairs(trx, sandbox.ownerId, sandbox.id, sandbox.startedAt, sandbox.metadata);
}

/** Returns the owner's sandbox. Throws StoreError `not_found`, also when it is somebody else's. */
export async function getSandbox(db: Db, now: number, ownerId: number, id: string): Promise<Sandbox> {
  const row = await db
    .selectFrom('sandboxes')
    .select(columns(now))
    .where('id', '=', id)
    .where('owner_id', '=', ownerId)
    .executeTakeFirst();
  if (!row) throw new StoreError('not_found', 'Sandbox not found');
  return row;
}

/** Returns at most `limit` of the owner's sandboxes whose metadata contains the filter, newest first, ties by id. */
export async function listSandboxes(
  db: Db,
  now: number,
  ownerId: number,
  { filter, limit }: { filter: Filter; limit: number },
): Promise<Sandbox[]> {
  return db
    .selectFrom('sandboxes')
    .select(columns(now))
    .where('sandboxes.owner_id', '=', ownerId)
    .$if(filter.pairs.length > 0, (query) => query.where((eb) => hasPairs(eb, filter.pairs)))
    .$if(filter.recheck !== null, (query) => query.where(sql<boolean>`metadata_contains(metadata, ${filter.recheck})`))
    .orderBy('started_at', 'desc')
    .orderBy('id')
    .limit(limit)
    .execute();
}

/**
 * Replaces the sandbox's metadata, its end, or both, and returns it.
 * Throws StoreError `not_found`, or `conflict` when it has ended; JsonError when the metadata is too large.
 */
export async function updateSandbox(
  db: Db,
  now: number,
  ownerId: number,
  id: string,
  change: { metadata?: JsonObject | undefined; endAt?: number | undefined },
): Promise<Sandbox> {
  return write(db, async (trx) => {
    const { status, startedAt } = await getSandbox(trx, now, ownerId, id);
    if (status === 'killed') throw new StoreError('conflict', 'Sandbox has ended');
    if (change.metadata) {
      await trx
        .updateTable('sandboxes')
        .set({ metadata: metadataText(change.metadata) })
        .where('id', '=', id)
        .execute();
      await trx.deleteFrom('sandbox_metadata').where('sandbox_id', '=', id).execute();
      await insertPairs(trx, ownerId, id, startedAt, change.metadata);
    }
    if (change.endAt !== undefined) {
      await trx.updateTable('sandboxes').set({ end_at: change.endAt }).where('id', '=', id).execute();
    }
    return getSandbox(trx, now, ownerId, id);
  });
}

/** Ends the owner's sandbox, once, and returns it. Throws StoreError `not_found`. */
export async function endSandbox(db: Db, now: number, ownerId: number, id: string): Promise<Sandbox> {
  return write(db, async (trx) => {
    const sandbox = await getSandbox(trx, now, ownerId, id);
    if (sandbox.status === 'killed') return sandbox;
    await trx.updateTable('sandboxes').set({ status: 'killed', end_at: now }).where('id', '=', id).execute();
    return getSandbox(trx, now, ownerId, id);
  });
}

/** Marks every sandbox past its end as killed, in one statement. Returns how many. */
export async function endDueSandboxes(trx: Trx, now: number): Promise<number> {
  const { numUpdatedRows } = await trx
    .updateTable('sandboxes')
    .set({ status: 'killed' })
    .where('status', '=', 'active')
    .where('end_at', '<=', now)
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
    .select(columns(now))
    .select(['sandboxes.end_at as endAt', 'sandboxes.env', 'users.name as owner'])
    .orderBy('sandboxes.started_at')
    .orderBy('sandboxes.id')
    .stream();
}

const columns = (now: number) => (eb: ExpressionBuilder<Tables, 'sandboxes'>) => {
  const expired = eb.and([eb('sandboxes.status', '=', 'active'), eb('sandboxes.end_at', '<=', now)]);
  return [
    'sandboxes.id',
    'sandboxes.template_id as templateId',
    'sandboxes.metadata',
    'sandboxes.memory_mb as memoryMb',
    'sandboxes.vcpu_count as vcpuCount',
    'sandboxes.started_at as startedAt',
    eb
      .case()
      .when('sandboxes.status', '=', 'active')
      .then(eb.case().when('sandboxes.end_at', '>', now).then(eb.ref('sandboxes.end_at')).end())
      .end()
      .as('endAt'),
    eb
      .case()
      .when(expired)
      .then(sql.lit('killed' as const))
      .else(eb.ref('sandboxes.status'))
      .end()
      .as('status'),
  ] as const;
};

function hasPairs({ ref }: ExpressionBuilder<Tables, 'sandboxes'>, pairs: string[]) {
  return sql<boolean>`not exists (
    select 1 from json_each(${JSON.stringify(pairs)}) as wanted
    where not exists (
      select 1 from sandbox_metadata as held
      where held.owner_id = ${ref('sandboxes.owner_id')} and held.pair = wanted.value
        and held.started_at = ${ref('sandboxes.started_at')} and held.sandbox_id = ${ref('sandboxes.id')}
    )
  )`;
}

async function insertPairs(
  trx: Trx,
  ownerId: number,
  id: string,
  startedAt: number,
  metadata: JsonObject,
): Promise<void> {
  await sql`
    insert into sandbox_metadata (owner_id, pair, started_at, sandbox_id)
    select ${ownerId}, value, ${startedAt}, ${id} from json_each(${JSON.stringify(pairsOf(metadata))})
  `.execute(trx);
}
