import { isoTime } from '../../spec/time.ts';
import { type Actor, recordOfSandbox } from '../events/record.ts';
import { spawnFrom } from '../snapshots/snapshots.ts';
import type { Trx } from '../store.ts';
import { defaultSize, type NewSandbox, newSandboxId, SandboxInserter } from './insert.ts';
import { getSandbox, type Sandbox } from './read.ts';

export type SandboxRequest = Pick<
  NewSandbox,
  'templateId' | 'metadata' | 'env' | 'onTimeout' | 'settings' | 'sessionId' | 'devbox'
> & {
  /** default: a new one */
  id?: string | undefined;
  lifetimeSeconds: number;
  /** default: the snapshot's, else `defaultSize` */
  memoryMb?: number | null | undefined;
  vcpuCount?: number | null | undefined;
};

/**
 * Starts a sandbox and returns it. Throws JsonError when the metadata is too large, StoreError
 * `invalid` when the settings are.
 */
export async function createSandbox(trx: Trx, now: number, by: Actor, request: SandboxRequest): Promise<Sandbox> {
  const { id = newSandboxId(), lifetimeSeconds, memoryMb, vcpuCount, ...given } = request;
  const { templateId, sessionId } = given;
  const { ownerId } = by;
  const size = (templateId !== null && (await spawnFrom(trx, now, ownerId, templateId))) || defaultSize;
  const endAt = now + lifetimeSeconds * 1000;
  const inserter = new SandboxInserter(trx);
  await inserter.add({
    ...given,
    id,
    ownerId,
    memoryMb: memoryMb ?? size.memoryMb,
    vcpuCount: vcpuCount ?? size.vcpuCount,
    startedAt: now,
    endAt,
    status: 'active',
  });
  await inserter.flush();
  const details = {
    to: 'active',
    template_id: templateId,
    end_at: isoTime(endAt),
    ...(sessionId != null && { session_id: sessionId }),
  };
  await recordOfSandbox(trx, now, by, id, { kind: 'vm.created', details });
  return getSandbox(trx, now, ownerId, id);
}
