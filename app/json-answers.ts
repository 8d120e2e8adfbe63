import type { Express } from 'express';
import { isE2b } from './errors.ts';

/**
 * Names no charset in the Content-Type of JSON but on E2B's paths, whose server does: FastAPI sends `application/json`,
 * and JSON is UTF-8 (RFC 8259, 8.1). Express adds a charset to text, so it is given bytes.
 */
export function sendPlainJson(app: Express): void {
  app.response.json = function (body) {
    if (!this.hasHeader('Content-Type')) {
      this.setHeader('Content-Type', isE2b(this.req.path) ? 'application/json; charset=utf-8' : 'application/json');
    }
    return this.send(Buffer.from(JSON.stringify(body)));
  };
}
