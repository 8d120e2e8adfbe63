import type { Cursor } from '../../../db/sandboxes/lists/pages.ts';
import { isoTime, readTime } from '../../../spec/time.ts';
import { HttpError } from '../../errors.ts';

/**
 * Returns the token of the page that follows a row, in E2B's form: `<time>__<id>` in base64url,
 * with `__asc` appended for ascending order.
 */
export function nextToken({ startedAt, id }: Cursor, order: 'asc' | 'desc' = 'desc'): string {
  const text = `${isoTime(startedAt)}__${id}${order === 'asc' ? '__asc' : ''}`;
  return Buffer.from(text).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

/**
 * Returns the row that a token names; null for no token. Throws HttpError 400 for a token that
 * `nextToken` does not make for this order.
 */
export function readToken(token: string | undefined, order: 'asc' | 'desc' = 'desc'): Cursor | null {
  if (token === undefined) return null;
  const [, time = '', id = ''] = tokenText.exec(Buffer.from(token, 'base64url').toString()) ?? [];
  const cursor = { startedAt: readTime(time)?.milliseconds ?? Number.NaN, id };
  const isValid = Number.isFinite(cursor.startedAt) && unpadded(nextToken(cursor, order)) === unpadded(token);
  if (!isValid) throw new HttpError(400, 'Invalid next token');
  return cursor;
}

const tokenText = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)__([a-z0-9-]+)/;

function unpadded(token: string): string {
  return token.replace(/=+$/, '');
}
