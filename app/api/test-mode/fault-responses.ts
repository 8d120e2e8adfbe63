import type { Request, Response } from 'express';
import { isObject, parseJson } from '../../../db/json/json.ts';
import { HttpError, ValidationFailure } from '../../errors.ts';
import type { Fault } from './faults.ts';

const explanation = 'Injected by POST /_test/faults';

/** Sends the fault's own body as it is, as a proxy in front of the server might. */
export function sendRaw(res: Response, { status = 500, headers = {}, body = '' }: Fault): void {
  const all = { 'Content-Type': 'text/plain; charset=utf-8', ...headers };
  for (const [name, value] of Object.entries(all)) res.setHeader(name, value);
  res.status(status).end(Buffer.from(body));
}

/** Returns the error to answer with, in the contract's shape; null for a fault without a status. */
export function errorOf({ status, headers: own = {}, ...fault }: Fault): Error | null {
  if (status === undefined) return null;
  if (status === 422 && Object.keys(own).length === 0) {
    return new ValidationFailure([{ type: 'value_error', loc: ['query'], msg: explanation, input: null }]);
  }
  const challenge = status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {};
  return new HttpError(status, explanation, { ...challenge, ...retryHeader({ status, ...fault }), ...own });
}

function retryHeader({ status, retry_after: retryAfter }: Fault): Record<string, string> {
  const seconds = retryAfter ?? (status === 429 || status === 503 ? 1 : undefined);
  return seconds === undefined ? {} : { 'Retry-After': String(seconds) };
}

/**
 * Makes the response, whatever it will be, lack a member (`omit`) or break off half-way (`cut`).
 * A stream breaks off half-way through its first event.
 */
export function spoilResponse(req: Request, res: Response, { omit, connection }: Fault): void {
  if (omit === undefined && connection !== 'cut') return;
  const { write, end } = res;
  const breakOff = (body: Buffer) => {
    if (body.length === 0) req.socket.destroy();
    else write.call(res, body.subarray(0, Math.ceil(body.length / 2)), 'utf8', () => req.socket.destroy());
  };
  if (connection === 'cut') {
    res.write = ((chunk: string | Buffer) => {
      // The first chunk of a stream is not an event.
      if (!res.headersSent) return write.call(res, chunk, 'utf8');
      breakOff(bufferOf(chunk));
      return true;
    }) as typeof res.write;
  }
  res.end = ((chunk?: string | Buffer) => {
    const body = omit === undefined ? bufferOf(chunk) : without(omit, bufferOf(chunk));
    if (!res.headersSent) res.setHeader('Content-Length', body.length);
    if (connection === 'cut') breakOff(body);
    else end.call(res, body, 'utf8');
    return res;
  }) as typeof res.end;
}

function bufferOf(chunk: string | Buffer = ''): Buffer {
  return Buffer.from(chunk as string);
}

/**
 * Returns a JSON body without a member: of the object, or of every object in an array. A body that
 * is not JSON is returned unchanged.
 */
function without(name: string, body: Buffer): Buffer {
  try {
    const value = parseJson(body.toString(), Number.POSITIVE_INFINITY);
    for (const item of Array.isArray(value) ? value : [value]) if (isObject(item)) delete item[name];
    return Buffer.from(JSON.stringify(value));
  } catch {
    return body;
  }
}
