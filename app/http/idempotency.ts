import { createHash } from 'node:crypto';
import type { Request } from 'express';
import type { KeyedRequest } from '../../db/sandboxes/idempotency.ts';

/**
 * Returns the request's `Idempotency-Key` with the hash of its method, path and body; null for a
 * request without a key.
 */
export function keyedRequestOf(req: Request): KeyedRequest | null {
  const key = req.get('idempotency-key');
  if (key === undefined) return null;
  const hash = createHash('sha256').update(`${req.method} ${req.path}\n`);
  return { key, hash: hash.update(req.sentBytes ?? '').digest() };
}
