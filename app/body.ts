import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import express, { type Request, type RequestHandler } from 'express';
import { isObject, type Json, JsonError, maxDepth } from '../db/json.ts';
import type { Contract } from '../spec/load.ts';
import { HttpError } from './errors.ts';
import { jsonProblem, parseOrRefuse } from './json.ts';
import { lastValues } from './query.ts';
import { operationOf, ValidationFailure } from './validation.ts';

/** The contract's description names it. */
export const maxBodyBytes = 2 ** 20;

const parsers: Record<string, (bytes: Buffer) => unknown> = {
  'application/json': parseJsonBody,
  'application/x-ndjson': parseJsonLines,
  'application/x-www-form-urlencoded': (bytes) => lastValues(bytes.toString()),
};

/**
 * Returns the handlers that read a body into `req.body`, where the operation takes one. An empty body, whatever its
 * media type, and a JSON null are none, as FastAPI has it: undefined where the operation requires one, else an object
 * with all the contract's defaults. A body without a Content-Type counts as what the operation takes.
 * They throw HttpError 413 and 415, and ValidationFailure.
 */
export function bodyReader(contract: Contract): RequestHandler[] {
  const takes = (req: Request) => Object.keys(operationOf(contract, req)?.requestBody?.content ?? {});
  const assumeType: RequestHandler = (req, _res, next) => {
    const [first] = takes(req);
    if (first) req.headers['content-type'] ??= first;
    next();
  };
  const type = (req: IncomingMessage) => takes(req as Request).length > 0;
  const parseBody: RequestHandler = (req, _res, next) => {
    const bytes: unknown = req.body;
    req.body = Buffer.isBuffer(bytes) && bytes.length > 0 ? parsed(bytes, req, takes(req)) : undefined;
    next();
  };
  /** The validator keeps something for every content type it meets, for good: it is to meet only ours. */
  const plainType: RequestHandler = (req, _res, next) => {
    const taken = takes(req);
    const mediaType = mediaTypeOf(req);
    const plain = taken.includes(mediaType) ? mediaType : taken[0];
    if (plain) req.headers['content-type'] = plain;
    else delete req.headers['content-type'];
    next();
  };
  const completeBody: RequestHandler = (req, _res, next) => {
    if (operationOf(contract, req)?.requestBody?.required === false) req.body ??= {};
    next();
  };
  return [assumeType, express.raw({ type, limit: maxBodyBytes }), parseBody, plainType, completeBody];
}

function parsed(bytes: Buffer, req: Request, taken: string[]): unknown {
  const mediaType = mediaTypeOf(req);
  if (!taken.includes(mediaType)) throw new HttpError(415, `Unsupported Media Type: send ${taken.join(' or ')}`);
  const charset = /;\s*charset="?([^";]*)/i.exec(req.headers['content-type'] ?? '')?.[1] ?? 'utf-8';
  if (!/^utf-?8$/i.test(charset)) throw new HttpError(415, 'The request body must be UTF-8');
  return parsers[mediaType]?.(bytes) ?? undefined;
}

function parseJsonBody(bytes: Buffer): unknown {
  const text = textOf(bytes);
  // More levels than metadata may have: the body around it, and an array of such.
  const around = text.trimStart().startsWith('[') ? 2 : 1;
  const body = parseOrRefuse(text, ['body'], {}, maxDepth + around);
  return Array.isArray(body) ? body.map(withPlainNumbers) : withPlainNumbers(body);
}

/** Returns an array of what the lines hold. */
function parseJsonLines(bytes: Buffer): unknown {
  return textOf(bytes)
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line, index) => withPlainNumbers(parseOrRefuse(line, ['body', index], {}, maxDepth + 1)));
}

function textOf(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString();
  throw new ValidationFailure([jsonProblem(new JsonError('syntax', 'not UTF-8'), ['body'], {})]);
}

/** Only metadata keeps every digit of its numbers. For the rest, which the contract describes, the nearest double will do. */
function withPlainNumbers(body: Json): unknown {
  if (!isObject(body)) return plain(body);
  return Object.fromEntries(
    Object.entries(body).map(([key, value]) => [key, key === 'metadata' && isObject(value) ? value : plain(value)]),
  );
}

function plain(value: Json): unknown {
  if (JSON.isRawJSON(value)) return Number(value.rawJSON);
  if (Array.isArray(value)) return value.map(plain);
  return isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]))
    : value;
}

function mediaTypeOf(req: Request): string {
  return (req.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}
