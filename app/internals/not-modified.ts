import type { Express } from 'express';

/**
 * Makes `req.fresh` false, so that Express never turns a response into 304. No response has an ETag
 * or Last-Modified; Express would still answer `If-None-Match: *` with 304 and no body.
 */
export function neverAnswerNotModified(app: Express): void {
  Object.defineProperty(app.request, 'fresh', { value: false });
}
