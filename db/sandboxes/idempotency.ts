import { sql } from 'kysely';
import { StoreError } from '../errors.ts';
import type { Actor } from '../events/record.ts';
import { query } from '../prepared.ts';
import type { Db, Trx } from '../store.ts';
import { findSandbox, type Sandbox } from './read.ts';

/** The `Idempotency-Key` of a request, and the hash of everything else that it asks for. */
export type KeyedRequest = { key: string; hash: Buffer };

/**
 * Returns the sandbox that `create` starts. A request with a key starts it once: later ones get the
 * same sandbox as it is then. The key is recorded in the sandbox's transaction, so that a crash
 * leaves both or neither. Throws what `sandboxesOfKey` and `create` throw.
 */
export async function createOnce(
  trx: Trx,
  now: number,
  by: Actor,
  request: KeyedRequest | null,
  create: () => Promise<Sandbox>,
): Promise<Sandbox> {
  if (request === null) return create();
  const [earlier] = await sandboxesOfKey(trx, now, by.ownerId, request);
  if (earlier) return earlier;
  const sandbox = await create();
  await recordKey(trx, now, by.ownerId, request, [sandbox]);
  return sandbox;
}

/**
 * Returns the sandboxes that a key has started after the first `skip`; none for a new key.
 * Throws StoreError `key_used` when the key belongs to another request, `key_outcome_unknown` when
 * one of the sandboxes has been deleted.
 */
export async function sandboxesOfKey(
  db: Db,
  now: number,
  ownerId: number,
  { key, hash }: KeyedRequest,
  skip = 0,
): Promise<Sandbox[]> {
  const [found] = await selectKey(db, { ownerId, key });
  if (!found) return [];
  if (!hash.equals(found.hash)) {
    throw new StoreError('key_used', 'This Idempotency-Key was used for another request: use a new key');
  }
  const sandboxes: Sandbox[] = [];
  for (const id of (JSON.parse(found.sandboxIds) as string[]).slice(skip)) {
    const sandbox = await findSandbox(db, now, ownerId, id);
    if (!sandbox) {
      const reason = 'The sandbox that this Idempotency-Key started has been deleted since: use a new key';
      throw new StoreError('key_outcome_unknown', reason);
    }
    sandboxes.push(sandbox);
  }
  return sandboxes;
}

/** Records all sandboxes that a key has started so far. */
export async function recordKey(
  trx: Trx,
  now: number,
  ownerId: number,
  { key, hash }: KeyedRequest,
  sandboxes: Pick<Sandbox, 'id'>[],
): Promise<void> {
  await putKey(trx, { ownerId, key, hash, now, sandboxIds: JSON.stringify(sandboxes.map(({ id }) => id)) });
}

/** Deletes at most `limit` keys recorded before a time, the oldest first. Returns how many. */
export async function deleteOldKeys(trx: Trx, before: number, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from idempotency_keys where (owner_id, key) in (
      select owner_id, key from idempotency_keys where created_at < ${before} order by created_at limit ${limit}
    )
  `.execute(trx);
  return Number(numAffectedRows);
}

const selectKey = query<{ ownerId: number; key: string }, { hash: Buffer; sandboxIds: string }>((db, value) =>
  db
    .selectFrom('idempotency_keys')
    .select(['request_hash as hash', 'sandbox_ids as sandboxIds'])
    .where('owner_id', '=', value('ownerId'))
    .where('key', '=', value('key')),
);

type NewKey = { ownerId: number; key: string; hash: Buffer; sandboxIds: string; now: number };

const putKey = query<NewKey, unknown>((db, value) =>
  db
    .insertInto('idempotency_keys')
    .values({
      owner_id: value('ownerId'),
      key: value('key'),
      request_hash: value('hash'),
      sandbox_ids: value('sandboxIds'),
      created_at: value('now'),
    })
    .onConflict((conflict) =>
      conflict.columns(['owner_id', 'key']).doUpdateSet((eb) => ({ sandbox_ids: eb.ref('excluded.sandbox_ids') })),
    ),
);
