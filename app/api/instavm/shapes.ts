import type { Planned } from '../../../db/builds/planned.ts';
import type { JsonObject } from '../../../db/json/json.ts';
import type { SandboxRequest } from '../../../db/sandboxes/create.ts';
import type { ListedSandbox, Sandbox } from '../../../db/sandboxes/read.ts';
import { sessionOf } from '../../../db/sessions/session-id.ts';
import type { Session } from '../../../db/sessions/sessions.ts';
import type { Snapshot } from '../../../db/snapshots/rows.ts';
import { defaultLifetimeSeconds } from '../../../spec/limits.ts';
import { isoTime, isoTimeOrNull } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { withRaw } from '../../http/json.ts';
import type { Images } from '../../machines/images/images.ts';

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
  return `{${infoMembers(sandbox, sandbox.status)}}`;
}

/** Returns `VM` of the contract as JSON text. */
export function vm(sandbox: Sandbox): string {
  const { id, status, memoryMb, vcpuCount, onTimeout, devboxName, devboxTemplateSlug } = sandbox;
  const ids = `"vm_id":"${id}","session_id":${JSON.stringify(sessionOf(sandbox))}`;
  const times = `"created_at":"${createdAt(sandbox)}","expires_at":${JSON.stringify(expiresAt(sandbox))}`;
  const devbox = `"devbox_name":${JSON.stringify(devboxName)},"devbox_template_slug":${JSON.stringify(devboxTemplateSlug)}`;
  return (
    `{${ids},${infoMembers(sandbox, vmStatus[status])},${times},"auto_suspend":${onTimeout === 'pause'},` +
    `"auto_resume":${isResumedBy(sandbox.settings)},"snapshot_on_terminate":${sandbox.settings?.includes('"snapshotAtEnd":{') === true},` +
    `"memory_mb":${memoryMb},"vcpu_count":${vcpuCount},${devbox}}`
  );
}

/** Returns whether requests resume a sandbox with these settings. Most have none: JSON is slow. */
function isResumedBy(settings: string | null): boolean {
  return settings?.includes('"autoResume":true') === true && JSON.parse(settings).autoResume === true;
}

/** InstaVM's names of the statuses, which all its responses use except the list of sandboxes. */
export const vmStatus = { active: 'active', paused: 'suspended', killed: 'killed' } as const;

/**
 * Returns the members of `VMSandboxInfo` as JSON text. They are concatenated by hand, because
 * `withRaw` takes nearly twice as long and a list calls this up to 1,000 times. Ids consist of
 * letters, digits and dashes, so they need no escaping.
 */
function infoMembers(sandbox: ListedSandbox, status: string): string {
  const { id, templateId, metadata, startedAt } = sandbox;
  const template = JSON.stringify(templateId);
  return (
    `"sandbox_id":"${id}","template_id":${template},"name":${templateId === null ? '"default"' : template},` +
    `"metadata":${metadata},"started_at":"${isoTime(startedAt)}",` +
    `"end_at":${JSON.stringify(expiresAt(sandbox))},"status":"${status}"`
  );
}

function createdAt({ firstStartedAt, startedAt }: Sandbox): string {
  return isoTime(firstStartedAt ?? startedAt);
}

export function expiresAt({ status, endAt }: ListedSandbox): string | null {
  return status === 'active' ? isoTimeOrNull(endAt) : null;
}

/** Returns `Session` of the contract as JSON text. */
export function session({ id, createdAt, sandbox }: Session): string {
  const { status, metadata, memoryMb, vcpuCount } = sandbox;
  const members = {
    session_id: id,
    vm_id: sandbox.id,
    vm_status: vmStatus[status],
    memory_mb: memoryMb,
    vcpu_count: vcpuCount,
    created_at: isoTime(createdAt),
    expires_at: expiresAt(sandbox),
  };
  return withRaw(members, { metadata });
}

/** Returns `SessionStatusInfo` of the contract. `found` is null for an unknown session. */
export function sessionStatus(sessionId: string, found: Session | null, now: number): Schemas['SessionStatusInfo'] {
  if (!found) return { session_id: sessionId, ...emptyStatus };
  const { id, status, startedAt, endAt } = found.sandbox;
  const isAlive = status === 'active';
  const remaining = endAt === null ? null : (endAt - now) / 1000;
  return {
    session_id: sessionId,
    exists: true,
    vm_assigned: true,
    vm_status: vmStatus[status],
    vm_id: id,
    vm_alive: isAlive,
    uptime_seconds: isAlive ? Math.max(0, now - startedAt) / 1000 : null,
    expires_in_seconds: isAlive ? remaining : 0,
    created_at: isoTime(found.createdAt),
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
export function sessionUsage({ id, sandbox }: Session, now: number): Schemas['SessionUsage'] {
  const { status, memoryMb, vcpuCount, startedAt, endAt } = sandbox;
  const until = status === 'active' ? now : (endAt ?? startedAt);
  return {
    session_id: id,
    vm_status: vmStatus[status],
    memory_mb: memoryMb,
    vcpu_count: vcpuCount,
    started_at: isoTime(startedAt),
    run_seconds: Math.max(0, until - startedAt) / 1000,
  };
}

const ready = { status: 'ready', error: null };

/**
 * Returns `Snapshot` of the contract as JSON text. With machines, `images` knows how far the image
 * is that it stands for.
 */
export function snapshot(
  { metadata, state, ...snapshot }: Snapshot & Partial<Pick<Planned, 'state'>>,
  images?: Pick<Images, 'stateOf'>,
): string {
  const { status, error } = state ?? ((snapshot.ociImage !== null && images?.stateOf(snapshot.ociImage)) || ready);
  const members = {
    snapshot_id: snapshot.id,
    id: snapshot.id,
    name: snapshot.name,
    status,
    last_error: error,
    type: snapshot.type,
    snapshot_type: snapshot.type,
    is_public: false,
    oci_image: snapshot.ociImage,
    size_bytes: snapshot.sizeBytes,
    has_memory: snapshot.hasMemory,
    vm_id: snapshot.sandboxId,
    template_id: snapshot.templateId,
    memory_mb: snapshot.memoryMb,
    vcpu_count: snapshot.vcpuCount,
    created_at: isoTime(snapshot.createdAt),
  };
  return withRaw(members, { metadata });
}
