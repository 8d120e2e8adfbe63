import type { Container } from 'dockerode';
import type { Usage } from '../../driver.ts';
import { MachineError } from '../../error.ts';
import { callEngine, deadlines } from '../engine/engine.ts';

/**
 * The part of an engine's statistics that we read. `stats` has other names in each cgroup version.
 */
type Stats = {
  cpu_stats?: { cpu_usage?: { total_usage?: number } };
  memory_stats?: { usage?: number; stats?: Record<string, number> };
};

/** Reads what a container uses. Memory excludes the cache that the kernel could drop at once. */
export async function readUsage(container: Container): Promise<Usage> {
  const options = { stream: false, 'one-shot': true } as const;
  const stats: Stats = await callEngine('read what the machine uses', deadlines.read, (abortSignal) =>
    container.stats({ ...options, abortSignal } as object),
  );
  const { usage, stats: kinds = {} } = stats.memory_stats ?? {};
  // An engine answers zeros for a container that does not run.
  if (!usage) throw new MachineError('gone', 'the machine has stopped');
  const inactive = kinds.total_inactive_file ?? kinds.inactive_file ?? 0;
  return {
    cpuSeconds: (stats.cpu_stats?.cpu_usage?.total_usage ?? 0) / 1e9,
    memoryBytes: Math.max(0, usage - inactive),
    cacheBytes: kinds.total_cache ?? kinds.cache ?? kinds.file ?? inactive,
  };
}
