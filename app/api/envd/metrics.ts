import type { RequestHandler } from 'express';
import { findAnyonesSandbox } from '../../../db/sandboxes/read.ts';
import type { Context } from '../../context.ts';
import { HttpError } from '../../errors.ts';
import { findTarget, machinesOf } from './target.ts';

const mebibyte = 2 ** 20;

/** Returns the handler of `GET /metrics`: the latest reading of a sandbox, with E2B's names. */
export function metrics(context: Context): RequestHandler {
  const { store, now } = context;
  const { usages } = machinesOf(context);
  const find = findTarget(context);
  return async (req, res) => {
    const { id } = await find(req);
    const sandbox = await findAnyonesSandbox(store.db, now(), id);
    const reading = usages.latest(id);
    if (!sandbox || !reading) throw new HttpError(404, 'There is no reading yet: try again in some seconds');
    res.json({
      ts: Math.floor(reading.at / 1000),
      cpu_count: sandbox.vcpuCount,
      cpu_used_pct: reading.cpuPercent,
      mem_total: sandbox.memoryMb * mebibyte,
      mem_used: reading.memoryBytes,
      mem_cache: reading.cacheBytes,
      mem_total_mib: sandbox.memoryMb,
      mem_used_mib: Math.round(reading.memoryBytes / mebibyte),
      disk_used: reading.diskUsedBytes,
      disk_total: reading.diskTotalBytes,
    });
  };
}
