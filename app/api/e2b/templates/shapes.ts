import type { Build } from '../../../../db/builds/builds.ts';
import type { LogEntry } from '../../../../db/builds/log.ts';
import type { Cursor } from '../../../../db/sandboxes/lists/pages.ts';
import type { Snapshot } from '../../../../db/snapshots/rows.ts';
import { isoTime } from '../../../../spec/time.ts';
import type { components } from '../../../../spec/types.gen.ts';
import { aliasOf, qualified } from '../references.ts';
import { envdVersion } from '../shapes.ts';

type Schemas = components['schemas'];

/** Returns `RequestedTemplateBuild` of E2B's API. */
export function requestedBuild(
  { id, templateId, name, tags }: Build,
  namespace: string,
): Schemas['RequestedTemplateBuild'] {
  const full = qualified(name, namespace)?.name ?? name;
  return { templateID: templateId, buildID: id, public: false, names: [full], tags, aliases: [aliasOf(full)] };
}

/** Returns `TemplateBuildInfo` of E2B's API. `last` is what the failed step has said last. */
export function buildInfo(
  { id, templateId, status, reason, failedStep }: Build,
  entries: LogEntry[],
  last: LogEntry[],
): Schemas['TemplateBuildInfo'] {
  const step = failedStep === null ? {} : { step: failedStep };
  return {
    templateID: templateId,
    buildID: id,
    status,
    logs: [],
    logEntries: entries.map(logEntry),
    ...(reason !== null && { reason: { message: reason, ...step, logEntries: last.map(logEntry) } }),
  };
}

/** Returns `BuildLogEntry` of E2B's API. */
export function logEntry({ at, message, level, step }: LogEntry): Schemas['BuildLogEntry'] {
  return { timestamp: isoTime(at), message, level, ...(step !== null && { step }) };
}

/** A build of a template in a list. */
export type ListedBuild = { shape: Schemas['TemplateBuild']; cursor: Cursor };

/** Returns a build as one of a template. */
export function listedBuild(build: Build): ListedBuild {
  const { id, status, createdAt, updatedAt, finishedAt, vcpuCount, memoryMb } = build;
  return {
    cursor: { startedAt: createdAt, id },
    shape: {
      buildID: id,
      status,
      createdAt: isoTime(createdAt),
      updatedAt: isoTime(updatedAt),
      ...(finishedAt !== null && { finishedAt: isoTime(finishedAt) }),
      cpuCount: vcpuCount,
      memoryMB: memoryMb,
      diskSizeMB: 0,
      envdVersion,
    },
  };
}

/** Returns the build that a snapshot stands for which was not built. */
export function snapshotAsBuild({ buildId, createdAt, updatedAt, vcpuCount, memoryMb }: Snapshot): ListedBuild {
  const size = { cpuCount: vcpuCount, memoryMB: memoryMb, diskSizeMB: 0, envdVersion };
  const times = { createdAt: isoTime(createdAt), updatedAt: isoTime(updatedAt), finishedAt: isoTime(updatedAt) };
  return {
    cursor: { startedAt: updatedAt, id: buildId },
    shape: { buildID: buildId, status: 'ready', ...times, ...size },
  };
}

/** Returns `Template` of E2B's API for one whose first build is not ready. */
export function plannedTemplate(newest: Build, namespace: string): Schemas['Template'] {
  const { id, templateId, name, status, vcpuCount, memoryMb, createdAt, updatedAt } = newest;
  const full = qualified(name, namespace)?.name ?? name;
  return {
    templateID: templateId,
    buildID: id,
    buildStatus: status,
    buildCount: 0,
    public: false,
    isDefault: false,
    cpuCount: vcpuCount,
    memoryMB: memoryMb,
    diskSizeMB: 0,
    envdVersion,
    aliases: [aliasOf(full)],
    names: [full],
    createdAt: isoTime(createdAt),
    updatedAt: isoTime(updatedAt),
    createdBy: null,
    lastSpawnedAt: null,
    spawnCount: 0,
  };
}
