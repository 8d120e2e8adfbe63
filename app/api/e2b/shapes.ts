import { hash } from 'node:crypto';
import type { Request } from 'express';
import { type JsonObject, parseJson } from '../../../db/json/json.ts';
import { defaultSize } from '../../../db/sandboxes/insert.ts';
import { lastPauseMode, type PauseSettings } from '../../../db/sandboxes/pause-mode.ts';
import { noTemplate, type Sandbox } from '../../../db/sandboxes/read.ts';
import type { Snapshot } from '../../../db/snapshots/rows.ts';
import type { Tag } from '../../../db/snapshots/tags.ts';
import { isoTime, isoTimeOrNull } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import type { Context } from '../../context.ts';
import type { Template } from '../../machines/images/images.ts';
import { keptNetwork } from '../../network.ts';
import { domainFor } from '../../ports/domain.ts';
import { aliasOf, qualified, tagOf } from './references.ts';

type Schemas = components['schemas'];
type Network = Schemas['SandboxNetworkConfig'];

/**
 * What E2B's clients set on a sandbox and Sandpit only stores. Responses show it, except for
 * secrets; nothing acts on it.
 */
export type Settings = PauseSettings & {
  autoResume?: boolean | undefined;
  allowInternetAccess?: boolean | undefined;
  network?: Network | undefined;
  /** whether `network` was changed while the sandbox was paused */
  networkWaits?: boolean | undefined;
  volumeMounts?: Schemas['SandboxVolumeMount'][] | undefined;
  /** the lifetime of the first run in seconds, if a request may resume the sandbox */
  firstTimeout?: number | undefined;
};

/** The only client id that E2B's own server sends. */
const clientID = '6532622b';

/** The first version of envd that has every feature for which today's clients check the version. */
export const envdVersion = '0.6.4';

/** The end of a sandbox without one: E2B's schema requires a time. */
const never = '9999-12-31T23:59:59.999Z';

/**
 * Returns `Sandbox` of E2B's API, for the client that sent a request. Ports that are not public
 * have a token of their own.
 */
export function startedSandbox(
  context: Pick<Context, 'config' | 'machines'>,
  req: Request,
  sandbox: Pick<Sandbox, 'id' | 'templateId' | 'settings'>,
): Schemas['StartedSandbox'] {
  const { id, templateId } = sandbox;
  const { machines } = context;
  const templateID = templateId ?? noTemplate;
  const isClosed = settingsOf(sandbox).network?.allowPublicTraffic === false;
  return {
    templateID,
    sandboxID: id,
    clientID,
    envdVersion,
    alias: aliasOf(templateID),
    domain: domainFor(context, req),
    ...(machines && { envdAccessToken: machines.tokenOf(id) }),
    ...(machines && isClosed && { trafficAccessToken: machines.trafficTokenOf(id) }),
  };
}

/** Returns `ListedSandbox` of E2B's API. */
export function listedSandbox(sandbox: Sandbox): Schemas['ListedSandbox'] {
  const { id, templateId, startedAt, endAt, vcpuCount, memoryMb, status } = sandbox;
  const templateID = templateId ?? noTemplate;
  const { volumeMounts } = settingsOf(sandbox);
  return {
    templateID,
    sandboxID: id,
    clientID,
    envdVersion,
    alias: aliasOf(templateID),
    startedAt: isoTime(startedAt),
    endAt: endAt === null ? never : isoTime(endAt),
    cpuCount: vcpuCount,
    memoryMB: memoryMb,
    diskSizeMB: 0,
    state: status === 'paused' ? 'paused' : 'running',
    metadata: stringsOf(parseJson(sandbox.metadata) as JsonObject),
    ...(volumeMounts && { volumeMounts }),
  };
}

/** Returns `SandboxDetail` of E2B's API, for the client that sent a request. */
export function sandboxDetail(
  context: Pick<Context, 'config' | 'machines'>,
  req: Request,
  sandbox: Sandbox,
): Schemas['SandboxDetail'] {
  const { machines } = context;
  const settings = settingsOf(sandbox);
  const { autoResume = false, allowInternetAccess = null, network } = settings;
  return {
    ...listedSandbox(sandbox),
    domain: domainFor(context, req),
    allowInternetAccess,
    ...(machines && { envdAccessToken: machines.tokenOf(sandbox.id) }),
    ...(network && { network: keptNetwork(network) }),
    lifecycle: { autoResume, onTimeout: sandbox.onTimeout },
    ...(sandbox.status === 'paused' && { pauseMode: lastPauseMode(settings, sandbox.endAt) }),
  };
}

/** Returns `SnapshotInfo` of E2B's API. */
export function snapshotInfo({ id, name }: Pick<Snapshot, 'id' | 'name'>, namespace: string): Schemas['SnapshotInfo'] {
  const reference = qualified(name, namespace);
  return { snapshotID: reference?.withTag ?? `${id}:default`, names: reference ? [reference.name] : [] };
}

/** Returns `Template` of E2B's API for a snapshot. One taken of a sandbox counts as built once. */
export function template(snapshot: Omit<Snapshot, 'metadata'>, namespace: string): Schemas['Template'] {
  const { id, name, buildId, buildCount, vcpuCount, memoryMb, createdAt, updatedAt } = snapshot;
  const reference = qualified(name, namespace);
  return {
    templateID: id,
    buildID: buildId,
    buildStatus: 'ready',
    buildCount: Math.max(buildCount, 1),
    public: false,
    isDefault: false,
    cpuCount: vcpuCount,
    memoryMB: memoryMb,
    diskSizeMB: 0,
    envdVersion,
    aliases: reference ? [aliasOf(reference.name)] : [],
    names: reference ? [reference.name] : [],
    createdAt: isoTime(createdAt),
    updatedAt: isoTime(updatedAt),
    createdBy: null,
    lastSpawnedAt: isoTimeOrNull(snapshot.lastSpawnedAt),
    spawnCount: snapshot.spawnCount,
  };
}

/**
 * Returns `Template` of E2B's API for a template of an administrator. It does not show how often
 * other users start from it.
 */
export function defaultTemplate({ name, image, createdAt }: Template, isReady: boolean): Schemas['Template'] {
  const time = isoTime(createdAt ?? 0);
  return {
    templateID: name,
    buildID: uuidOf(image),
    buildStatus: isReady ? 'ready' : 'waiting',
    buildCount: 1,
    public: true,
    isDefault: true,
    cpuCount: defaultSize.vcpuCount,
    memoryMB: defaultSize.memoryMb,
    diskSizeMB: 0,
    envdVersion,
    aliases: [aliasOf(name)],
    names: [name],
    createdAt: time,
    updatedAt: time,
    createdBy: null,
    lastSpawnedAt: null,
    spawnCount: 0,
  };
}

/** Returns a UUID of version 8 that only depends on the text (RFC 9562, 5.8). */
function uuidOf(text: string): string {
  const [, a, b, c, d] = /^(.{8})(.{4}).(.{3}).(.{15})/.exec(hash('sha256', text)) ?? [];
  return `${a}-${b}-8${c}-a${d?.slice(0, 3)}-${d?.slice(3)}`;
}

/** Returns `TemplateTag` of E2B's API. */
export function templateTag({ reference, buildId, createdAt }: Tag): Schemas['TemplateTag'] {
  return { tag: tagOf(reference), buildID: buildId, createdAt: isoTime(createdAt) };
}

/** Returns metadata as a map of strings: values that other clients set may be any JSON. */
function stringsOf(metadata: JsonObject): Record<string, string> {
  const entries = Object.entries(metadata).map(([key, value]) => [
    key,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
  return Object.fromEntries(entries);
}

function settingsOf({ settings }: Pick<Sandbox, 'settings'>): Settings {
  return settings === null ? {} : JSON.parse(settings);
}
