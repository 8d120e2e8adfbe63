import { type Clock, isoTime } from '../../spec/time.ts';
import { afterCommit, StoreError } from '../errors.ts';
import { type Actor, recordOfSandbox } from '../events/record.ts';
import { type JsonObject, parseJson } from '../json/json.ts';
import { markReady } from '../machines/rows.ts';
import { type Db, inTransaction, type Trx } from '../store.ts';
import { Turns } from '../turns.ts';
import { type KeyedRequest, recordKey, sandboxesOfKey } from './idempotency.ts';
import { type NewSandbox, newSandboxId, SandboxInserter } from './insert.ts';
import { getLiveSandbox, type Sandbox } from './read.ts';

export type ForkRequest = {
  count: number;
  lifetimeSeconds: number;
  keyed?: KeyedRequest | null;
  /** the ids of copies whose machines run: each becomes ready; default: new ids, no machines */
  ids?: string[];
};

/**
 * The most text that one transaction of a fork copies, in UTF-16 units: other writes wait for it.
 */
const maxCopiedLength = 2 ** 20;

/**
 * Starts `count` copies of the owner's running sandbox, env and settings included, and returns
 * them. Unlike other changes it opens its own transactions, because a large fork takes several:
 * each copies a mebibyte at most. If one fails, the copies made before it keep running; a request
 * with the same key makes those that are missing.
 * Throws StoreError `not_found`, `ended`, `conflict` if the sandbox is paused, and what
 * `sandboxesOfKey` throws.
 */
export async function forkSandbox(
  db: Db,
  now: Clock,
  by: Actor,
  id: string,
  { count, lifetimeSeconds, keyed, ids }: ForkRequest,
): Promise<Sandbox[]> {
  const turns = new Turns();
  const made: Sandbox[] = [];
  let source: Source | undefined;
  while (made.length < count) {
    const added = await inTransaction(db, async (trx) => {
      const startedAt = now();
      // What other requests with this key have made meanwhile.
      const others = keyed ? await sandboxesOfKey(trx, startedAt, by.ownerId, keyed, made.length) : [];
      const missing = count - made.length - others.length;
      if (missing === 0) return others;
      source ??= await forkSource(trx, startedAt, by, id);
      const size = Math.min(missing, Math.max(1, Math.floor(maxCopiedLength / source.length)));
      const run = { startedAt, endAt: startedAt + lifetimeSeconds * 1000 };
      const given = ids?.filter((each) => !made.some((sandbox) => sandbox.id === each)).slice(0, size);
      const own = given ?? Array.from({ length: size }, newSandboxId);
      const copies = await addCopies(trx, by, id, { ...source.copied, ...run }, own);
      for (const ready of given ?? []) await markReady(trx, ready);
      if (keyed) await recordKey(trx, startedAt, by.ownerId, keyed, [...made, ...others, ...copies]);
      return [...others, ...copies];
    }).catch((error) => {
      throw made.length > 0 ? afterCommit(error) : error;
    });
    made.push(...added);
    await turns.next();
  }
  return made;
}

type Copied = Omit<NewSandbox, 'id' | 'startedAt' | 'endAt'>;
type Source = { copied: Copied; length: number };

/**
 * Reads what copies of the owner's running sandbox have of it, and the length of its texts.
 * Throws StoreError `not_found`, `ended`, or `conflict` if it is paused.
 */
export async function forkSource(db: Db, now: number, by: Actor, id: string): Promise<Source> {
  const { status } = await getLiveSandbox(db, now, by.ownerId, id);
  if (status === 'paused') {
    throw new StoreError('conflict', `Sandbox '${id}' is paused and cannot be forked; resume it first`);
  }
  const row = await db.selectFrom('sandboxes').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  const copied: Copied = {
    ownerId: row.owner_id,
    templateId: row.template_id,
    metadata: parseJson(row.metadata) as JsonObject,
    env: row.env === null ? null : JSON.parse(row.env),
    memoryMb: row.memory_mb,
    vcpuCount: row.vcpu_count,
    status: 'active',
    onTimeout: row.on_timeout,
    settings: row.settings === null ? null : (parseJson(row.settings) as JsonObject),
  };
  return { copied, length: row.metadata.length + (row.env ?? '').length + (row.settings ?? '').length };
}

async function addCopies(
  trx: Trx,
  by: Actor,
  sourceId: string,
  copied: Omit<NewSandbox, 'id'> & { endAt: number },
  ids: string[],
): Promise<Sandbox[]> {
  const inserter = new SandboxInserter(trx);
  for (const id of ids) await inserter.add({ ...copied, id });
  await inserter.flush();
  const { templateId, startedAt, endAt } = copied;
  const details = { to: 'active', template_id: templateId, end_at: isoTime(endAt), forked_from: sourceId };
  for (const id of ids) await recordOfSandbox(trx, startedAt, by, id, { kind: 'vm.created', details });
  const metadata = JSON.stringify(copied.metadata);
  const settings = copied.settings == null ? null : JSON.stringify(copied.settings);
  const { memoryMb, vcpuCount, status, onTimeout = 'kill' } = copied;
  const common = {
    templateId,
    metadata,
    startedAt,
    endAt,
    status,
    memoryMb,
    vcpuCount,
    onTimeout,
    settings,
    firstStartedAt: null,
    sessionId: null,
    devboxName: null,
    devboxTemplateSlug: null,
  };
  return ids.map((id) => ({ id, ...common }));
}
