import { type Request, type RequestHandler, Router } from 'express';
import { findSandbox, getLiveSandbox, type Sandbox } from '../../../db/sandboxes/read.ts';
import { isoTime } from '../../../spec/time.ts';
import type { components } from '../../../spec/types.gen.ts';
import { principalOf } from '../../auth.ts';
import type { Context } from '../../context.ts';
import { recentOutput } from '../../machines/agent/processes.ts';
import { MachineError } from '../../machines/error.ts';
import type { Reading } from '../../machines/usage/history.ts';
import { type Line, linesOf, maxLines } from '../../machines/usage/lines.ts';
import { sandboxIdOf, withoutClientId } from './request.ts';

type Schemas = components['schemas'];

/** How long a machine may take to send what its commands printed. */
const outputMilliseconds = 10_000;

/** The routes of the tag `e2b-sandboxes` for what machines use and print. */
export function e2bObserveRoutes(context: Context): Router {
  const router = Router();
  router.get('/sandboxes/metrics', listMetrics(context));
  router.get('/sandboxes/:sandboxID/metrics', readMetrics(context));
  router.get('/sandboxes/:sandboxID/logs', readLogs(context));
  router.get('/v2/sandboxes/:sandboxID/logs', searchLogs(context));
  return router;
}

function listMetrics({ store, now, machines }: Context): RequestHandler {
  return async (req, res) => {
    const sandboxes: Schemas['SandboxesWithMetrics']['sandboxes'] = {};
    for (const given of machines ? (req.query.sandbox_ids as string[]) : []) {
      const id = withoutClientId(given);
      const reading = machines?.usages.latest(id);
      const sandbox = reading && (await findSandbox(store.db, now(), principalOf(req).user.id, id));
      if (reading && sandbox?.status === 'active') sandboxes[given] = metric(sandbox, reading);
    }
    res.json({ sandboxes } satisfies Schemas['SandboxesWithMetrics']);
  };
}

function readMetrics(context: Context): RequestHandler {
  return async (req, res) => {
    const sandbox = await liveSandbox(context, req);
    const { start, end } = req.query as { start?: number; end?: number };
    const from = start === undefined ? 0 : Number(start) * 1000;
    // Clients round times to seconds, so that a whole second belongs to the range.
    const to = end === undefined ? Number.POSITIVE_INFINITY : Number(end) * 1000 + 999;
    const readings = context.machines?.usages.between(sandbox.id, from, to) ?? [];
    res.json(readings.map((reading) => metric(sandbox, reading)));
  };
}

/** Returns `SandboxMetric` of E2B's API. */
function metric({ vcpuCount, memoryMb }: Sandbox, reading: Reading): Schemas['SandboxMetric'] {
  return {
    timestamp: isoTime(reading.at),
    timestampUnix: Math.floor(reading.at / 1000),
    cpuCount: vcpuCount,
    cpuUsedPct: reading.cpuPercent,
    memUsed: reading.memoryBytes,
    memTotal: memoryMb * 2 ** 20,
    memCache: reading.cacheBytes,
    diskUsed: reading.diskUsedBytes,
    diskTotal: reading.diskTotalBytes,
  };
}

function readLogs(context: Context): RequestHandler {
  return async (req, res) => {
    const lines = await printedLines(context, await liveSandbox(context, req));
    const { start, limit = maxLines } = req.query as { start?: number; limit?: number };
    const since = lines.filter(({ at }) => start === undefined || at >= Number(start));
    const most = Number(limit);
    const found = start === undefined ? since.slice(Math.max(0, since.length - most)) : since.slice(0, most);
    res.json({ logs: found.map(logLine), logEntries: found.map(logEntry) } satisfies Schemas['SandboxLogs']);
  };
}

const levels: Schemas['SandboxLogEntry']['level'][] = ['debug', 'info', 'warn', 'error'];

type LogQuery = Pick<Schemas['SandboxLogEntry'], 'level'> & {
  cursor?: string;
  limit: number;
  direction?: 'forward' | 'backward';
  search?: string;
};

function searchLogs(context: Context): RequestHandler {
  return async (req, res) => {
    const lines = await printedLines(context, await liveSandbox(context, req));
    const { cursor, limit, direction, level, search = '' } = req.query as unknown as LogQuery;
    const isForward = direction !== 'backward';
    const lowest = levels.indexOf(level ?? 'debug');
    const found = lines.filter((line) => {
      const isInTime = cursor === undefined || (isForward ? line.at >= Number(cursor) : line.at <= Number(cursor));
      return isInTime && levels.indexOf(levelOf(line)) >= lowest && line.text.includes(search);
    });
    const page = (isForward ? found : found.reverse()).slice(0, Number(limit));
    res.json({ logs: page.map(logEntry) } satisfies Schemas['SandboxLogsV2']);
  };
}

async function liveSandbox({ store, now }: Context, req: Request): Promise<Sandbox> {
  return getLiveSandbox(store.db, now(), principalOf(req).user.id, sandboxIdOf(req));
}

/** Returns nothing for a machine that has just ended. Throws MachineError. */
async function printedLines({ machines }: Context, { id, status }: Sandbox): Promise<Line[]> {
  if (!machines || status !== 'active') return [];
  const late = AbortSignal.timeout(outputMilliseconds);
  try {
    const agent = await machines.agentOf(id);
    return await linesOf(await recentOutput(agent, late));
  } catch (error) {
    if (late.aborted) throw new MachineError('timeout', 'The machine of the sandbox did not answer in time');
    if (!(error instanceof MachineError)) throw error;
    if (error.code === 'gone') return [];
    throw new MachineError('timeout', error.message, { cause: error });
  }
}

function levelOf({ source }: Line): Schemas['SandboxLogEntry']['level'] {
  return source === 'stderr' ? 'error' : 'info';
}

/** E2B's names of where output comes from. */
const eventTypes = { stdout: 'stdout', stderr: 'stderr', terminal: 'pty' };

function logEntry(line: Line): Schemas['SandboxLogEntry'] {
  const { at, pid, source, text } = line;
  const fields = { pid: String(pid), event_type: eventTypes[source] };
  return { timestamp: isoTime(at), message: text, level: levelOf(line), fields };
}

/** E2B's command line shows the object in `line`. */
function logLine(line: Line): Schemas['SandboxLog'] {
  const { timestamp, message, level, fields } = logEntry(line);
  return { timestamp, line: JSON.stringify({ level, logger: 'process', message, ...fields }) };
}
