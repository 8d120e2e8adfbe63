import type { Express, Request } from 'express';
import { isE2b } from './dialect.ts';

/**
 * Returns the Content-Type of JSON in the answer to a request. It names a charset on E2B's paths only, as E2B's server
 * does: FastAPI sends `application/json`, and JSON is UTF-8 (RFC 8259, 8.1).
 */
export function jsonTypeFor(req: Request): string {
  return isE2b(req.path) ? 'application/json; charset=utf-8' : 'application/json';
}

/** Makes `res.json` send that Content-Type. Express adds a charset to text, so it is given bytes. */
export function sendPlainJson(app: Express): void {
  app.response.json = function (body) {
    if (!this.hasHeader('Content-Type')) this.setHeader('Content-Type', jsonTypeFor(this.req));
    return this.send(Buffer.from(JSON.stringify(body)));
  };
}
