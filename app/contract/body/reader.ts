import { isUtf8 } from 'node:buffer';
import express, { type Request, type RequestHandler } from 'express';
import { isObject, type Json, JsonError, maxDepth } from '../../../db/json/json.ts';
import { readJson, type Sent } from '../../../db/json/reader.ts';
import type { Contract } from '../../../spec/load.ts';
import { HttpError, ValidationFailure, valueError } from '../../errors.ts';
import { jsonProblem, parseOrRefuse } from '../json.ts';
import { operationOf } from '../problems/problems.ts';
import { formType, parseForm } from '../query.ts';

/** The contract's description names it. */
export const maxBodyBytes = 2 ** 20;

type Reader = {
  parse: (bytes: Buffer) => unknown;
  /** Returns what `parse` has taken, as it was sent. */
  read: (bytes: Buffer) => Sent;
};

const readers: Record<string, Reader> = {
  'application/json': { parse: parseJsonBody, read: (bytes) => readJson(bytes.toString()) },
  'application/x-ndjson': { parse: parseJsonLines, read: (bytes) => linesOf(bytes.toString()).map(readJson) },
  [formType]: { parse: (bytes) => parseForm(bytes.toString()), read: readForm },
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
  const type = (req: Request) => takes(req).length > 0;
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
    const isOptional = operationOf(contract, req)?.requestBody?.required === false;
    // A form without fields is one.
    if (isOptional || req.headers['content-type'] === formType) req.body ??= {};
    next();
  };
  return [assumeType, bytesOf(type), parseBody, plainType, completeBody];
}

/**
 * Reads the bodies whose type is wanted into a Buffer. Throws HttpError 413 before it reads more than the limit, where
 * express.raw would read all of it first, and ValidationFailure for a body that is not what its Content-Encoding says.
 */
function bytesOf(isWanted: (req: Request) => boolean): RequestHandler {
  const read = express.raw({ type: (req) => isWanted(req as Request), limit: maxBodyBytes });
  return (req, res, next) => {
    const { 'content-length': length, 'content-encoding': encoding } = req.headers;
    let isOver = false;
    const finish = (error?: unknown) => {
      if (!isOver) next(isUndecoded(error) && encoding ? undecoded(encoding) : error);
      isOver = true;
    };
    if (!isWanted(req)) return next();
    if (Number(length) > maxBodyBytes) throw tooLarge();
    if (length === undefined) countBytes(req, () => finish(tooLarge()));
    read(req, res, finish);
  };
}

/** The connection closes after this answer: the rest of the body is not read. */
function tooLarge(): HttpError {
  return new HttpError(413, `The request body is larger than ${maxBodyBytes} bytes`, { Connection: 'close' });
}

function countBytes(req: Request, onTooMany: () => void): void {
  let count = 0;
  const add = (chunk: Buffer) => {
    count += chunk.length;
    if (count <= maxBodyBytes) return;
    req.off('data', add);
    onTooMany();
  };
  req.on('data', add);
}

function isUndecoded(error: unknown): boolean {
  return error instanceof Error && 'status' in error && error.status === 400;
}

function undecoded(encoding: string): ValidationFailure {
  return new ValidationFailure([valueError(['body'], `the body is not ${encoding}, its Content-Encoding`, null)]);
}

function parsed(bytes: Buffer, req: Request, taken: string[]): unknown {
  const mediaType = mediaTypeOf(req);
  if (!taken.includes(mediaType)) throw new HttpError(415, `Unsupported Media Type: send ${taken.join(' or ')}`);
  const charset = /;\s*charset="?([^";]*)/i.exec(req.headers['content-type'] ?? '')?.[1] ?? 'utf-8';
  if (!/^utf-?8$/i.test(charset)) throw new HttpError(415, 'The request body must be UTF-8');
  const reader = readers[mediaType];
  const body = reader?.parse(bytes) ?? undefined;
  if (reader && body !== undefined) req.readSentBody = once(() => reader.read(bytes));
  return body;
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

function readForm(bytes: Buffer): Sent {
  return new Map(Object.entries(parseForm(bytes.toString())));
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
  return linesOf(textOf(bytes)).map((line, index) =>
    withPlainNumbers(parseOrRefuse(line, ['body', index], {}, maxDepth + 1)),
  );
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

function textOf(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString();
  throw new ValidationFailure([jsonProblem(new JsonError('syntax', 'not UTF-8'), ['body'], {})]);
}

/**
 * Returns the body with doubles for numbers that are none, but in its metadata: only there every digit is kept.
 * It changes the body where it is.
 */
function withPlainNumbers(body: Json): unknown {
  if (!isObject(body)) return plain(body);
  for (const key of Object.keys(body)) {
    const member = body[key] as Json;
    if (key !== 'metadata' || !isObject(member)) body[key] = plain(member) as Json;
  }
  return body;
}

function plain(value: Json): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (JSON.isRawJSON(value)) return Number(value.rawJSON);
  const holder = value as Record<string, Json>;
  for (const key of Object.keys(holder)) {
    const member = holder[key];
    if (typeof member === 'object' && member !== null) holder[key] = plain(member) as Json;
  }
  return value;
}

function mediaTypeOf(req: Request): string {
  return (req.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';
}
