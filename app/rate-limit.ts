import { isIP } from 'node:net';
import type { Request } from 'express';
import { ipKeyGenerator } from 'express-rate-limit';
import { HttpError } from './errors.ts';
import type { Context } from './server.ts';

/** Callers that are remembered; beyond that the one that has asked nothing for the longest is forgotten. */
const maxCallers = 10_000;

/**
 * Returns a function that counts a request against whoever makes it: their API key or user where that is known, else
 * their address. It throws HttpError 429 with `Retry-After` past the configured rate. A caller may use up a whole
 * period's requests at once and gets them back one by one (GCRA, the "virtual scheduling" of ITU-T I.371).
 */
export function rateLimiter({ config, now, test }: Pick<Context, 'config' | 'now' | 'test'>): (req: Request) => void {
  const { rateLimit } = config;
  if (!rateLimit) return () => {};
  const interval = rateLimit.milliseconds / rateLimit.count;
  /** When each caller will have all their requests back. */
  const freeAt = new Map<string, number>();
  test?.onReset(() => freeAt.clear());

  return (req) => {
    const caller = callerOf(req);
    const time = now();
    // A clock that was set back must lock nobody out.
    const from = Math.min(Math.max(freeAt.get(caller) ?? 0, time), time + rateLimit.milliseconds);
    const wait = from + interval - rateLimit.milliseconds - time;
    const isRefused = wait > 1e-6;
    freeAt.delete(caller);
    freeAt.set(caller, isRefused ? from : from + interval);
    if (isRefused) throw new HttpError(429, 'Too many requests: try again later', { 'Retry-After': seconds(wait) });
    if (freeAt.size > maxCallers) freeAt.delete(freeAt.keys().next().value ?? '');
  };
}

function callerOf(req: Request): string {
  const { principal } = req;
  if (!principal) return `address ${addressOf(req)}`;
  return principal.keyId === null ? `user ${principal.user.id}` : `key ${principal.keyId}`;
}

/**
 * Returns the address that a request comes from, an IPv6 network of 56 bits being one. What a proxy says is taken with
 * a port as well (Azure's and IIS's say it); what is no address is the proxy's own then.
 */
export function addressOf({ ip = '', socket }: Pick<Request, 'ip' | 'socket'>): string {
  const bare = ip.replace(/^\[(.*)\](:\d+)?$|^([\d.]+):\d+$/, '$1$3');
  return ipKeyGenerator(isIP(bare) ? bare : (socket.remoteAddress ?? ''));
}

function seconds(milliseconds: number): string {
  return String(Math.ceil(milliseconds / 1000));
}
