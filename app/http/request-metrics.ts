import type { RequestHandler, Response } from 'express';
import type { Context } from '../server.ts';

/** Taken by its receiver, to be sent again, or failed for good. */
export type WebhookOutcome = 'succeeded' | 'failed' | 'given_up';

/** What the running server tells of itself. */
export type Metrics = {
  requestBegan: () => void;
  /** `route` is the contract's path, null for one that it doesn't describe. */
  requestEnded: (method: string, route: string | null, status: number, seconds: number) => void;
  /** A part of the sweeper's work is done, or has failed. */
  swept: (task: string, seconds: number, hasFailed: boolean) => void;
  /** A webhook was sent, and this has become of it. */
  webhookSent: (outcome: WebhookOutcome) => void;
};

/** Counts and times requests. Before the server has started nobody can ask, and nothing is counted. */
export function requestMetrics(context: Context): RequestHandler {
  return (req, res, next) => {
    const { metrics } = context;
    if (!metrics) return next();
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
