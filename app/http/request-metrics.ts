import type { RequestHandler, Response } from 'express';
import type { Metrics } from '../context.ts';

/** Counts and times requests. */
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

/** Returns what a request was answered, once that is over; 499, nginx's number, where the client was gone before. */
export function statusOf({ headersSent, statusCode }: Pick<Response, 'headersSent' | 'statusCode'>): number {
  return headersSent ? statusCode : 499;
}
