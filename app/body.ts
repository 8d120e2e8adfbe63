import { isUtf8 } from 'node:buffer';
import express, { type RequestHandler } from 'express';
import { isObject, type Json, JsonError } from '../db/json.ts';
import { jsonProblem, parseOrRefuse } from './json.ts';
import { ValidationFailure } from './validation.ts';

/** The contract's description names it. */
export const maxBodyBytes = 2 ** 20;

/** Returns the handlers that read a JSON body into `req.body`, numbers kept exactly; undefined where there is none. */
export function jsonBody(): RequestHandler[] {
  return [express.raw({ type: 'application/json', limit: maxBodyBytes }), parseBody];
}

const parseBody: RequestHandler = (req, _res, next) => {
  const bytes: unknown = req.body;
  if (!Buffer.isBuffer(bytes)) return next();
  req.body = undefined;
  if (!isUtf8(bytes)) throw new ValidationFailure([jsonProblem(new JsonError('syntax', 'not UTF-8'), ['body'], {})]);
  if (bytes.length > 0) req.body = withPlainMembers(parseOrRefuse(bytes.toString(), ['body'], {}));
  next();
};

/** The body's own numbers have bounds in the contract, so the nearest double will do; only metadata keeps every digit. */
function withPlainMembers(body: Json): unknown {
  if (!isObject(body)) return body;
  const entries = Object.entries(body).map(([key, value]) => [
    key,
    JSON.isRawJSON(value) ? Number(value.rawJSON) : value,
  ]);
  return Object.fromEntries(entries);
}
