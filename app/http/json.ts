import type { Express, Request, Response } from 'express';
import { maxDepth, parseJson } from '../../db/json/json.ts';
import type { Config } from '../config/settings.ts';
import { isE2b } from './dialect.ts';

/** From this length on (UTF-16 units), `res.end` would walk a text twice: it gets bytes instead. */
const largeText = 16_384;

/**
 * Returns the Content-Type of a JSON response. It names a charset on E2B's paths only, as E2B's
 * server does. FastAPI sends `application/json`, and JSON is UTF-8 anyway (RFC 8259, 8.1).
 */
export function jsonTypeFor(req: Request): string {
  return isE2b(req.path) ? 'application/json; charset=utf-8' : 'application/json';
}

/** Makes `res.json` use `jsonTypeFor`. It sends bytes, because Express adds a charset to text. */
export function setJsonType(app: Express): void {
  app.response.json = function (body) {
    if (!this.hasHeader('Content-Type')) this.setHeader('Content-Type', jsonTypeFor(this.req));
    return this.send(Buffer.from(JSON.stringify(body)));
  };
}

/**
 * Sends JSON text. With response validation on, it is parsed and passes through the validator;
 * metadata may then stand at most two levels deep in it (in an object in an array).
 */
export function sendJson(res: Response, config: Config, text: string): void {
  if (config.validateResponses) res.json(parseJson(text, maxDepth + 2));
  else {
    res.setHeader('Content-Type', jsonTypeFor(res.req));
    res.end(text.length > largeText ? Buffer.from(text) : text);
  }
}

/**
 * Returns the JSON text of an object that has `members` and, copied unparsed, the JSON texts in
 * `raw`. Metadata is sent this way, because parsing it would lose digits of its numbers.
 */
export function withRaw(members: object, raw: Record<string, string>): string {
  const rawMembers = Object.entries(raw).map(([name, text]) => `,${JSON.stringify(name)}:${text}`);
  return `${JSON.stringify(members).slice(0, -1)}${rawMembers.join('')}}`;
}

/**
 * Returns a value as JSON text in ASCII. E2B's Python client breaks lines at U+0085, U+2028 and
 * U+2029 as well, and then finds half a value.
 */
export function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
