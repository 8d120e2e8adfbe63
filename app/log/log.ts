import type { Request, RequestHandler } from 'express';
import { type DestinationStream, type Logger, pino } from 'pino';
import { randomUuid } from '../../db/random.ts';
import type { Config } from '../config/config.ts';
import { clientAddress } from '../http/rate-limit.ts';
import { statusOf } from '../http/request-metrics.ts';
import type { Context } from '../server.ts';
import { sandboxOfSession } from '../session-id.ts';
import { Output } from '../terminal/output.ts';
import { LineOutput } from './line-output.ts';

/** Returns a log that writes JSON lines to the destination. */
export function createLog(level: string, destination: DestinationStream): Logger {
  return pino({ level, base: null, serializers: { err: pino.stdSerializers.errWithCause } }, destination);
}

export type OpenLog = {
  log: Logger;
  /** Returns how many lines were lost because they could not be written. */
  lostLogLines: () => number;
  /** Resolves once all lines are written or lost, or `giveUp` says to wait no longer. */
  close: (giveUp: AbortSignal) => Promise<void>;
};

/** Opens the program's log on standard output (1) or standard error (2), in the configured format. */
export async function openLog({ logLevel, logFormat }: Config, descriptor: 1 | 2): Promise<OpenLog> {
  const output = new Output(descriptor);
  const isPretty = logFormat === 'pretty' || (logFormat === 'auto' && output.isTTY);
  const shape = isPretty ? (await import('./pretty.ts')).prettyLines(output.isTTY) : undefined;
  const destination = new LineOutput(output, shape);
  const log = createLog(logLevel, destination);
  destination.onRecovery = (lost) => log.error({ lost }, 'log lines were lost because they could not be written');
  return { log, lostLogLines: () => destination.lost, close: (giveUp) => output.finish(giveUp) };
}

/**
 * Gives every request an id, which its answer carries, and logs one line when it is over; `aborted` marks an answer
 * that was begun and not finished. Headers, bodies and queries are not logged: they hold credentials and callers' data.
 */
export function requestLog({ log }: Pick<Context, 'log'>): RequestHandler {
  return (req, res, next) => {
    req.id = randomUuid();
    res.setHeader('X-Request-Id', req.id);
    if (!log.isLevelEnabled('info')) return next();
    const begin = performance.now();
    // Asked now: a connection that is closed has no address any more.
    const client = clientAddress(req);
    res.once('close', () => {
      const route = req.openapi?.openApiRoute ?? null;
      const owner = req.principal?.user.name ?? null;
      const duration = Math.round((performance.now() - begin) * 1000) / 1000;
      const line = { id: req.id, method: req.method, route, status: statusOf(res), duration, owner, client };
      const sandbox = sandboxOf(req);
      log.info(
        { ...line, ...(sandbox && { sandbox }), ...(res.headersSent && !res.writableFinished && { aborted: true }) },
        'request',
      );
    });
    next();
  };
}

/** Returns the id of the sandbox that a request made or named, unless what it named can be no id. */
function sandboxOf({ sandboxId, openapi }: Request): string | undefined {
  const { vm_id: vmId, sandboxID, session_id: sessionId } = openapi?.pathParams ?? {};
  const id = sandboxId ?? vmId ?? sandboxID ?? (sessionId && sandboxOfSession(sessionId));
  return id && /^[\w-]{1,64}$/.test(id) ? id : undefined;
}
