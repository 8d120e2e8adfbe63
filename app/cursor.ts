import type { Cursor } from '../db/pages.ts';
import { HttpError } from './errors.ts';
import { isoTime } from './wire.ts';

/** Returns the token of the page behind this row: E2B's form, `<time>__<id>` in base64url, with `__asc` for that order. */
export function nextToken({ startedAt, id }: Cursor, order: 'asc' | 'desc' = 'desc'): string {
  const text = `${isoTime(startedAt)}__${id}${order === 'asc' ? '__asc' : ''}`;
  return Buffer.from(text).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

/** Returns where a token says to go on. Throws HttpError 400 when it is none, or of the other order. */
export function readToken(token: string | undefined, order: 'asc' | 'desc' = 'desc'): Cursor | null {
  if (token === undefined) return null;
  const match = tokenText.exec(Buffer.from(token, 'base64url').toString());
  const startedAt = Date.parse(match?.[1] ?? '');
  if (!match?.[2] || !Number.isFinite(startedAt) || (match[3] ? 'asc' : 'desc') !== order) {
    throw new HttpError(400, 'Invalid next token');
  }
  return { startedAt, id: match[2] };
}

const tokenText = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)__([a-z0-9-]+?)(__asc)?$/;
