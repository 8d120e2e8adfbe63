import type { Request } from 'express';

/**
 * Returns the Content-Type as it was sent; empty for none. `req.headers` no longer has it: the body
 * reader removes types that it does not read.
 */
export function contentTypeOf({ rawHeaders }: Pick<Request, 'rawHeaders'>): string {
  const at = rawHeaders.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'content-type');
  return at < 0 ? '' : (rawHeaders[at + 1] ?? '');
}
