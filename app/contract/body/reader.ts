import { parse as parseContentType } from 'content-type';
import type { Request, RequestHandler } from 'express';
import type { Contract } from '../../../spec/load.ts';
import { HttpError } from '../../errors.ts';
import { bodyOf, operationOf } from '../operation.ts';
import { formType } from '../query.ts';
import { bytesReader } from './bytes.ts';
import { formats } from './formats.ts';

/**
 * Returns the handlers that parse a body into `req.body` if the operation has one. As in FastAPI,
 * an empty body of any media type and a JSON null count as no body. Then `req.body` is undefined if
 * the operation requires a body, and otherwise an object with the contract's defaults. A body
 * without a Content-Type counts as the first type that the operation accepts. The handlers throw
 * HttpError 413 and 415, and ValidationFailure.
 */
export function bodyReader(contract: Contract): RequestHandler[] {
  const acceptedTypes = (req: Request) => Object.keys(bodyOf(operationOf(contract, req))?.content ?? {});
  const assumeType: RequestHandler = (req, _res, next) => {
    const [first] = acceptedTypes(req);
    if (first) req.headers['content-type'] ??= first;
    next();
  };
  const parseBody: RequestHandler = (req, _res, next) => {
    const bytes: unknown = req.body;
    if (Buffer.isBuffer(bytes)) req.sentBytes = bytes;
    req.body = Buffer.isBuffer(bytes) && bytes.length > 0 ? parse(bytes, req, acceptedTypes(req)) : undefined;
    next();
  };
  /**
   * The validator keeps an entry for every Content-Type that it meets, so it must meet ours only.
   */
  const simplifyType: RequestHandler = (req, _res, next) => {
    const accepted = acceptedTypes(req);
    const { type } = parseContentType(req.headers['content-type'] ?? '', { parameters: false });
    const plain = accepted.includes(type) ? type : accepted[0];
    if (plain) req.headers['content-type'] = plain;
    else delete req.headers['content-type'];
    next();
  };
  const completeBody: RequestHandler = (req, _res, next) => {
    const isOptional = bodyOf(operationOf(contract, req))?.required === false;
    // A form without fields is a form.
    if (isOptional || req.headers['content-type'] === formType) req.body ??= {};
    next();
  };
  return [assumeType, bytesReader((req) => acceptedTypes(req).length > 0), parseBody, simplifyType, completeBody];
}

function parse(bytes: Buffer, req: Request, acceptedTypes: string[]): unknown {
  const { type, parameters } = parseContentType(req.headers['content-type'] ?? '');
  if (!acceptedTypes.includes(type)) {
    throw new HttpError(415, `Unsupported Media Type: send ${acceptedTypes.join(' or ')}`);
  }
  if (!/^utf-?8$/i.test(parameters.charset ?? 'utf-8')) throw new HttpError(415, 'The request body must be UTF-8');
  const format = formats[type];
  const body = format?.parse(bytes) ?? undefined;
  if (format && body !== undefined) req.readSentBody = once(() => format.readSent(bytes));
  return body;
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
