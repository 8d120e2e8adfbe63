import { randomUUID } from 'node:crypto';
import type { Request, RequestHandler } from 'express';
import { type DestinationStream, type Logger, pino } from 'pino';
import { pinoHttp } from 'pino-http';
import type { Context } from './server.ts';

/** Returns the program's log: JSON lines on standard output, or where told. */
export function createLog(level: string, destination: DestinationStream = pino.destination(1)): Logger {
  return pino({ level, base: null }, destination);
}

/** One line a request. Headers, bodies and queries stay out of it: they hold credentials and the caller's data. */
export function requestLog({ log }: Context): RequestHandler {
  return pinoHttp<Request>({
    logger: log,
    genReqId: () => randomUUID(),
    quietReqLogger: true,
    serializers: { req: () => undefined, res: () => undefined },
    customAttributeKeys: { reqId: 'id' },
    customSuccessMessage: () => 'request',
    customErrorMessage: () => 'request',
    customSuccessObject: (req, res, { responseTime }) => summary(req, res.statusCode, responseTime),
    customErrorObject: (req, res, _error, { responseTime }) => summary(req, res.statusCode, responseTime),
  });
}

function summary(req: Request, status: number, durationMilliseconds: number) {
  const route = req.openapi?.openApiRoute ?? null;
  const owner = req.principal?.user.name ?? null;
  return { method: req.method, route, status, duration: durationMilliseconds, owner };
}
