import { type JsonObject, parseJson } from '../../../db/json/json.ts';
import { noTemplate } from '../../../db/sandboxes/pages.ts';
import type { Sandbox } from '../../../db/sandboxes/read.ts';
import type { Snapshot } from '../../../db/sandboxes/snapshots.ts';
import { isoTime, isoTimeOrNull } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { shownNetwork } from './network.ts';
import { aliasOf, qualified } from './references.ts';

type Schemas = components['schemas'];
type Network = Schemas['SandboxNetworkConfig'];

/** What is kept with a sandbox for E2B's clients. Nothing here acts on it; answers show it, but for secrets. */
export type Settings = {
  autoResume?: boolean | undefined;
  allowInternetAccess?: boolean | undefined;
  network?: Network | undefined;
  volumeMounts?: Schemas['SandboxVolumeMount'][] | undefined;
};

/** E2B's own server answers this one and no other. */
const clientID = '6532622b';

/** The first whose interface has everything that today's clients look for. */
const envdVersion = '0.6.4';

/**
 * Clients make the names of a sandbox's ports of it. Without one they take E2B's own, and would call somebody else's
 * machines; this one is reserved and leads nowhere (RFC 6761, 6.4).
 */
const domain = 'sandpit.invalid';

/** An end that never comes, for what must have one. */
const never = '9999-12-31T23:59:59.999Z';

/** Returns E2B's `Sandbox`. */
export function startedSandbox({ id, templateId }: Pick<Sandbox, 'id' | 'templateId'>): Schemas['StartedSandbox'] {
  const templateID = templateId ?? noTemplate;
  return { templateID, sandboxID: id, clientID, envdVersion, alias: aliasOf(templateID), domain };
}

/** Returns E2B's `ListedSandbox`. */
export function listedSandbox(sandbox: Sandbox): Schemas['ListedSandbox'] {
  const { startedAt, endAt, vcpuCount, memoryMb, status } = sandbox;
  const { templateID, sandboxID, alias } = startedSandbox(sandbox);
  const { volumeMounts } = settingsOf(sandbox);
  return {
    ...{ templateID, sandboxID, clientID, envdVersion, alias: alias as string },
    startedAt: isoTime(startedAt),
    endAt: endAt === null ? never : isoTime(endAt),
    ...{ cpuCount: vcpuCount, memoryMB: memoryMb, diskSizeMB: 0 },
    state: status === 'paused' ? 'paused' : 'running',
    metadata: stringsOf(parseJson(sandbox.metadata) as JsonObject),
    ...(volumeMounts && { volumeMounts }),
  };
}

/** Returns E2B's `SandboxDetail`. */
export function sandboxDetail(sandbox: Sandbox): Schemas['SandboxDetail'] {
  const { autoResume = false, allowInternetAccess = null, network } = settingsOf(sandbox);
  return {
    ...listedSandbox(sandbox),
    domain,
    allowInternetAccess,
    ...(network && { network: shownNetwork(network) }),
    lifecycle: { autoResume, onTimeout: sandbox.onTimeout },
  };
}

/** Returns E2B's `SnapshotInfo`. */
export function snapshotInfo({ id, name }: Pick<Snapshot, 'id' | 'name'>, namespace: string): Schemas['SnapshotInfo'] {
  const reference = qualified(name, namespace);
  return { snapshotID: reference?.withTag ?? `${id}:default`, names: reference ? [reference.name] : [] };
}

/** Returns E2B's `Template`. There are no builds: a snapshot counts as one. */
export function template(snapshot: Omit<Snapshot, 'metadata'>, namespace: string): Schemas['Template'] {
  const { id, name, vcpuCount, memoryMb, createdAt, updatedAt, spawnCount, lastSpawnedAt } = snapshot;
  const reference = qualified(name, namespace);
  return {
    templateID: id,
    ...{ buildID: '00000000-0000-0000-0000-000000000000', buildStatus: 'ready', buildCount: 1, public: false },
    ...{ cpuCount: vcpuCount, memoryMB: memoryMb, diskSizeMB: 0, envdVersion },
    aliases: reference ? [aliasOf(reference.name)] : [],
    names: reference ? [reference.name] : [],
    createdAt: isoTime(createdAt),
    updatedAt: isoTime(updatedAt),
    createdBy: null,
    lastSpawnedAt: isoTimeOrNull(lastSpawnedAt),
    spawnCount,
  };
}

/** Other clients' metadata may hold more than strings. */
function stringsOf(metadata: JsonObject): Record<string, string> {
  const entries = Object.entries(metadata).map(([key, value]) => [
    key,
    typeof value === 'string' ? value : JSON.stringify(value),
  ]);
  return Object.fromEntries(entries);
}

function settingsOf({ settings }: Sandbox): Settings {
  return settings === null ? {} : JSON.parse(settings);
}
