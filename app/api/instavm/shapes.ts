import type { JsonObject } from '../../../db/json/json.ts';
import type { SandboxRequest } from '../../../db/sandboxes/create.ts';
import type { Sandbox } from '../../../db/sandboxes/read.ts';
import type { Snapshot } from '../../../db/sandboxes/snapshots.ts';
import { isoTime } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { sessionIdOf } from '../../session-id.ts';

type Schemas = components['schemas'];

/** What the contract gives as the default; the validator can't apply it where there is a null. */
export const defaultLifetimeSeconds = 300;

type Wanted = Omit<SandboxRequest, 'templateId'>;

/** Returns what the members that `CreateVM` and `CreateSession` have in common ask for. */
export function wantedSandbox(body: Omit<Schemas['CreateSession'], 'api_key'>): Wanted {
  return {
    metadata: (body.metadata as JsonObject | null | undefined) ?? {},
    env: body.env ?? null,
    memoryMb: body.memory_mb,
    vcpuCount: body.vcpu_count,
    lifetimeSeconds: body.vm_lifetime_seconds ?? defaultLifetimeSeconds,
  };
}

/** Returns `Session` of the contract as JSON text. */
export function session(sandbox: Sandbox): string {
  const { id, status, metadata, memoryMb, vcpuCount, startedAt, firstStartedAt, endAt } = sandbox;
  const ids = `"session_id":"${sessionIdOf(id)}","vm_id":"${id}","vm_status":"${status}"`;
  const times = {
    created_at: isoTime(firstStartedAt ?? startedAt),
    expires_at: status === 'active' && endAt !== null ? isoTime(endAt) : null,
  };
  const size = `"memory_mb":${memoryMb},"vcpu_count":${vcpuCount}`;
  return `{${ids},"metadata":${metadata},${size},${JSON.stringify(times).slice(1)}`;
}

/** Returns `SessionStatusInfo` of the contract. */
export function sessionStatus(sessionId: string, sandbox: Sandbox | null, now: number): Schemas['SessionStatusInfo'] {
  if (!sandbox) {
    return {
      ...{ session_id: sessionId, exists: false, vm_assigned: false, vm_status: null, vm_id: null, vm_alive: false },
      ...{ uptime_seconds: null, expires_in_seconds: null, created_at: null },
    };
  }
  const { id, status, startedAt, firstStartedAt, endAt } = sandbox;
  const isAlive = status === 'active';
  const remaining = endAt === null ? null : (endAt - now) / 1000;
  return {
    ...{ session_id: sessionId, exists: true, vm_assigned: true, vm_status: status, vm_id: id, vm_alive: isAlive },
    uptime_seconds: isAlive ? Math.max(0, now - startedAt) / 1000 : null,
    expires_in_seconds: isAlive ? remaining : 0,
    created_at: isoTime(firstStartedAt ?? startedAt),
  };
}

/** Returns `SessionUsage` of the contract. */
export function sessionUsage(sandbox: Sandbox, now: number): Schemas['SessionUsage'] {
  const { id, status, memoryMb, vcpuCount, startedAt, endAt } = sandbox;
  const until = status === 'active' ? now : (endAt ?? startedAt);
  return {
    session_id: sessionIdOf(id) as string,
    vm_status: status,
    ...{ memory_mb: memoryMb, vcpu_count: vcpuCount },
    started_at: isoTime(startedAt),
    run_seconds: Math.max(0, until - startedAt) / 1000,
  };
}

/** Returns `Snapshot` of the contract as JSON text. */
export function snapshot(taken: Snapshot): string {
  const { id, name, ociImage, sandboxId, templateId, metadata, memoryMb, vcpuCount, createdAt } = taken;
  const members = {
    ...{ snapshot_id: id, id, name, status: 'ready', last_error: null, snapshot_type: 'user' },
    ...{ oci_image: ociImage, size_bytes: null, vm_id: sandboxId, template_id: templateId },
    ...{ memory_mb: memoryMb, vcpu_count: vcpuCount, created_at: isoTime(createdAt) },
  };
  return `${JSON.stringify(members).slice(0, -1)},"metadata":${metadata}}`;
}
