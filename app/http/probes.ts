import type { Request } from 'express';

/**
 * Returns whether a request is a health probe. Probes bypass the limits on load, so that an
 * orchestrator does not kill a busy server.
 */
export function isProbe({ path }: Pick<Request, 'path'>): boolean {
  return path === '/health' || path === '/ready';
}
