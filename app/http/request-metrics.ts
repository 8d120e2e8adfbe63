import type { RequestHandler, Response } from 'express';
import type { Context } from '../context.ts';

/** Returns the handler that counts and times requests. */
export function requestMetrics({ metrics, recent }: Pick<Context, 'metrics' | 'recent'>): RequestHandler {
  return (req, res, next) => {
    const begin = performance.now();
    metrics?.requestBegan();
    res.on('close', () => {
      const seconds = (performance.now() - begin) / 1000;
      const status = statusOf(res);
      recent.ended(status, seconds);
      metrics?.requestEnded(req.method, req.openapi?.openApiRoute ?? null, status, seconds);
    });
    next();
  };
}

/**
 * Returns the status of a finished request: 499, as in nginx, if the client disconnected before the
 * response.
 */
export function statusOf({ headersSent, statusCode }: Pick<Response, 'headersSent' | 'statusCode'>): number {
  return headersSent ? statusCode : 499;
}
