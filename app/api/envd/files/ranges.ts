import type { Request, Response } from 'express';
import { HttpError } from '../../../errors.ts';

export type Range = { offset: number; length: number };

/** Returns whether a request has a range or a condition, which need the file's size and time. */
export function isConditional({ headers }: Request): boolean {
  const { range, 'if-modified-since': since, 'if-none-match': none, 'if-range': from } = headers;
  return (range ?? since ?? none ?? from) !== undefined;
}

/**
 * Returns whether the client has the file as it is, by the response's `Last-Modified`
 * (RFC 9110, 13.1.3). `If-None-Match` comes first: no file has an entity tag.
 */
export function isUnchanged({ headers }: Request, res: Response): boolean {
  const { 'if-modified-since': since, 'if-none-match': none } = headers;
  if (since === undefined || none !== undefined) return false;
  return Date.parse(String(res.get('Last-Modified'))) <= Date.parse(since);
}

/**
 * Returns the range of a file that a request is for; null for the whole file, also when several are
 * asked for. Throws HttpError 416 for a range behind the end (RFC 9110, 14).
 */
export function rangeOf(req: Request, res: Response, size: number): Range | null {
  const from = req.headers['if-range'];
  if (from !== undefined && from !== res.get('Last-Modified')) return null;
  const ranges = req.range(size, { combine: true });
  if (ranges === -1) throw new HttpError(416, `The file has ${size} bytes`, { 'Content-Range': `bytes */${size}` });
  if (ranges === undefined || ranges === -2 || ranges.type !== 'bytes' || ranges.length !== 1) return null;
  const [{ start, end } = { start: 0, end: -1 }] = ranges;
  return { offset: start, length: end - start + 1 };
}
