import type { RequestHandler } from 'express';
import { type DestinationStream, type Logger, pino } from 'pino';
import { randomUuid } from '../db/random.ts';
import { statusOf } from './metrics.ts';
import type { Context } from './server.ts';

/** Returns the program's log: JSON lines on standard output, or where told. */
export function createLog(level: string, destination: DestinationStream = pino.destination(1)): Logger {
  return pino({ level, base: null, serializers: { err: pino.stdSerializers.errWithCause } }, destination);
}

/**
 * Gives every request an id, which its answer tells, and writes one line when it is over; it says `aborted` of an answer
 * that was begun and not finished. Headers, bodies and queries stay out of it: they hold credentials and the caller's data.
 */
export function requestLog({ log }: Context): RequestHandler {
  return (req, res, next) => {
    req.id = randomUuid();
    res.setHeader('X-Request-Id', req.id);
    if (!log.isLevelEnabled('info')) return next();
    const begin = performance.now();
    res.once('close', () => {
      const route = req.openapi?.openApiRoute ?? null;
      const owner = req.principal?.user.name ?? null;
      const duration = Math.round((performance.now() - begin) * 1000) / 1000;
      const line = { id: req.id, method: req.method, route, status: statusOf(res), duration, owner };
      log.info(res.headersSent && !res.writableFinished ? { ...line, aborted: true } : line, 'request');
    });
    next();
  };
}
