import type { JsonObject } from '../../../db/json/json.ts';
import type { SandboxRequest } from '../../../db/sandboxes/create.ts';
import type { ListedSandbox, Sandbox } from '../../../db/sandboxes/read.ts';
import type { Snapshot } from '../../../db/snapshots/rows.ts';
import { defaultLifetimeSeconds } from '../../../spec/limits.ts';
import { isoTime } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { withRaw } from '../../http/json.ts';
import { sessionIdOf } from '../../session-id.ts';

type Schemas = components['schemas'];

/** Returns the properties of a sandbox that `CreateVM` and `CreateSession` both set. */
export function sandboxRequest(body: Omit<Schemas['CreateSession'], 'api_key'>): Omit<SandboxRequest, 'templateId'> {
  return {
    metadata: (body.metadata as JsonObject | null | undefined) ?? {},
    env: body.env ?? null,
    memoryMb: body.memory_mb,
    vcpuCount: body.vcpu_count,
    lifetimeSeconds: body.vm_lifetime_seconds ?? defaultLifetimeSeconds,
  };
}

/** Returns `VMSandboxInfo` of the contract as JSON text. */
export function sandboxInfo(sandbox: ListedSandbox): string {
  return `{${infoMembers(sandbox)}}`;
}

/** Returns `VM` of the contract as JSON text. */
export function vm(sandbox: Sandbox): string {
  const { id, memoryMb, vcpuCount } = sandbox;
  const ids = `"vm_id":"${id}","session_id":${JSON.stringify(sessionIdOf(id))}`;
  return `{${ids},${infoMembers(sandbox)},"memory_mb":${memoryMb},"vcpu_count":${vcpuCount}}`;
}

/**
 * Returns the members of `VMSandboxInfo` as JSON text. They are concatenated by hand, because
 * `withRaw` takes nearly twice as long and a list calls this up to 1,000 times. Ids consist of
 * letters, digits and dashes, so they need no escaping.
 */
function infoMembers({ id, templateId, metadata, startedAt, endAt, status }: ListedSandbox): string {
  const template = JSON.stringify(templateId);
  const canExpire = status === 'active' && endAt !== null;
  return (
    `"sandbox_id":"${id}","template_id":${template},"name":${templateId === null ? '"default"' : template},` +
    `"metadata":${metadata},"started_at":"${isoTime(startedAt)}",` +
    `"end_at":${canExpire ? `"${isoTime(endAt)}"` : null},"status":"${status}"`
  );
}

/** Returns `Session` of the contract as JSON text. */
export function session(sandbox: Sandbox): string {
  const { id, status, metadata, memoryMb, vcpuCount, startedAt, firstStartedAt, endAt } = sandbox;
  const members = {
    session_id: sessionIdOf(id),
    vm_id: id,
    vm_status: status,
    memory_mb: memoryMb,
    vcpu_count: vcpuCount,
    created_at: isoTime(firstStartedAt ?? startedAt),
    expires_at: status === 'active' && endAt !== null ? isoTime(endAt) : null,
  };
  return withRaw(members, { metadata });
}

/** Returns `SessionStatusInfo` of the contract. `sandbox` is null for a session without one. */
export function sessionStatus(sessionId: string, sandbox: Sandbox | null, now: number): Schemas['SessionStatusInfo'] {
  if (!sandbox) return { session_id: sessionId, ...emptyStatus };
  const { id, status, startedAt, firstStartedAt, endAt } = sandbox;
  const isAlive = status === 'active';
  const remaining = endAt === null ? null : (endAt - now) / 1000;
  return {
    session_id: sessionId,
    exists: true,
    vm_assigned: true,
    vm_status: status,
    vm_id: id,
    vm_alive: isAlive,
    uptime_seconds: isAlive ? Math.max(0, now - startedAt) / 1000 : null,
    expires_in_seconds: isAlive ? remaining : 0,
    created_at: isoTime(firstStartedAt ?? startedAt),
  };
}

const emptyStatus = {
  exists: false,
  vm_assigned: false,
  vm_status: null,
  vm_id: null,
  vm_alive: false,
  uptime_seconds: null,
  expires_in_seconds: null,
  created_at: null,
};

/** Returns `SessionUsage` of the contract. */
export function sessionUsage(sandbox: Sandbox, now: number): Schemas['SessionUsage'] {
  const { id, status, memoryMb, vcpuCount, startedAt, endAt } = sandbox;
  const until = status === 'active' ? now : (endAt ?? startedAt);
  return {
    session_id: sessionIdOf(id) as string,
    vm_status: status,
    memory_mb: memoryMb,
    vcpu_count: vcpuCount,
    started_at: isoTime(startedAt),
    run_seconds: Math.max(0, until - startedAt) / 1000,
  };
}

/** Returns `Snapshot` of the contract as JSON text. */
export function snapshot({ metadata, ...snapshot }: Snapshot): string {
  const members = {
    snapshot_id: snapshot.id,
    id: snapshot.id,
    name: snapshot.name,
    status: 'ready',
    last_error: null,
    snapshot_type: 'user',
    oci_image: snapshot.ociImage,
    size_bytes: null,
    vm_id: snapshot.sandboxId,
    template_id: snapshot.templateId,
    memory_mb: snapshot.memoryMb,
    vcpu_count: snapshot.vcpuCount,
    created_at: isoTime(snapshot.createdAt),
  };
  return withRaw(members, { metadata });
}
