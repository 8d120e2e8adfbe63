import type { RequestHandler, Response } from 'express';
import type { Metrics } from '../context.ts';

/** Returns the handler that counts and times requests. */
export function requestMetrics(metrics: Metrics): RequestHandler {
  return (req, res, next) => {
    const begin = performance.now();
    metrics.requestBegan();
    res.on('close', () => {
      const seconds = (performance.now() - begin) / 1000;
      metrics.requestEnded(req.method, req.openapi?.openApiRoute ?? null, statusOf(res), seconds);
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
