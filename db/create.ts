import { StoreError } from './errors.ts';
import { type Actor, recordOfSandbox, timeText } from './events.ts';
import { defaultSize, insertSandbox, type NewSandbox, newSandboxId, SandboxInserter } from './insert.ts';
import { type JsonObject, parseJson } from './json.ts';
import type { Clock } from './lifecycle.ts';
import { getLiveSandbox, getSandbox, type Sandbox } from './sandboxes.ts';
import { spawnFrom } from './snapshots.ts';
import { type Db, type Trx, write } from './sqlite.ts';

export type SandboxRequest = Pick<NewSandbox, 'templateId' | 'metadata' | 'env' | 'onTimeout' | 'settings'> & {
  lifetimeSeconds: number;
  /** as the snapshot has it, or the default, unless given */
  memoryMb?: number | null | undefined;
  vcpuCount?: number | null | undefined;
};

/** Starts a sandbox and returns it. Throws JsonError when the metadata is too large. */
export async function createSandbox(db: Db, clock: Clock, by: Actor, request: SandboxRequest): Promise<Sandbox> {
  const { lifetimeSeconds, memoryMb, vcpuCount, ...given } = request;
  const { templateId } = given;
  const { ownerId } = by;
  const id = newSandboxId();
  return write(db, async (trx) => {
    const startedAt = clock();
    const size = (templateId !== null && (await spawnFrom(trx, startedAt, ownerId, templateId))) || defaultSize;
    const endAt = startedAt + lifetimeSeconds * 1000;
    await insertSandbox(trx, {
      ...given,
      id,
      ownerId,
      memoryMb: memoryMb ?? size.memoryMb,
      vcpuCount: vcpuCount ?? size.vcpuCount,
      startedAt,
      endAt,
      status: 'active',
    });
    const details = { to: 'active', template_id: templateId, end_at: timeText(endAt) };
    await recordOfSandbox(trx, startedAt, by, id, { kind: 'vm.created', details });
    return getSandbox(trx, startedAt, ownerId, id);
  });
}

/**
 * Starts `count` sandboxes like the owner's running one, env and settings included, and returns them.
 * Throws StoreError `not_found`, `ended`, or `conflict` when it is paused.
 */
export async function forkSandbox(
  db: Db,
  clock: Clock,
  by: Actor,
  id: string,
  { count, lifetimeSeconds }: { count: number; lifetimeSeconds: number },
): Promise<Sandbox[]> {
  return write(db, async (trx) => {
    const now = clock();
    const { status } = await getLiveSandbox(trx, now, by.ownerId, id);
    if (status === 'paused') {
      throw new StoreError('conflict', `Sandbox '${id}' is paused and cannot be forked; resume it first`);
    }
    const copies = await copiesOf(trx, id, count, now, now + lifetimeSeconds * 1000);
    const inserter = new SandboxInserter(trx);
    for (const copy of copies) await inserter.add(copy);
    await inserter.flush();
    for (const { id: copyId, templateId, endAt } of copies) {
      const details = { to: 'active', template_id: templateId, end_at: timeText(endAt), forked_from: id };
      await recordOfSandbox(trx, now, by, copyId, { kind: 'vm.created', details });
    }
    return Promise.all(copies.map((copy) => getSandbox(trx, now, by.ownerId, copy.id)));
  });
}

async function copiesOf(trx: Trx, id: string, count: number, startedAt: number, endAt: number): Promise<NewSandbox[]> {
  const row = await trx.selectFrom('sandboxes').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  return Array.from({ length: count }, () => ({
    id: newSandboxId(),
    ownerId: row.owner_id,
    templateId: row.template_id,
    metadata: parseJson(row.metadata) as JsonObject,
    env: row.env === null ? null : JSON.parse(row.env),
    memoryMb: row.memory_mb,
    vcpuCount: row.vcpu_count,
    startedAt,
    endAt,
    status: 'active',
    onTimeout: row.on_timeout,
    settings: row.settings === null ? null : (parseJson(row.settings) as JsonObject),
  }));
}
