import { isIP } from 'node:net';
import type { Request } from 'express';
import { ipKeyGenerator } from 'express-rate-limit';
import type { Rate } from '../config/network-readers.ts';
import type { Context } from '../context.ts';
import { HttpError } from '../errors.ts';

/** Callers that are remembered; beyond that the one that has asked nothing for the longest is forgotten. */
const maxCallers = 10_000;

/**
 * Returns a function that counts a request against whoever makes it: their API key or user where that is known, else
 * their address. It throws HttpError 429 with `Retry-After` past the configured rate. A caller may use up a whole
 * period's requests at once and gets them back one by one (GCRA, the "virtual scheduling" of ITU-T I.371). The answer says
 * in `RateLimit-*` how many are left (draft-ietf-httpapi-ratelimit-headers-06, which most clients read).
 */
export function rateLimiter({
  config,
  now,
  onReset,
}: Pick<Context, 'config' | 'now' | 'onReset'>): (req: Request) => void {
  const { rateLimit } = config;
  if (!rateLimit) return () => {};
  const interval = rateLimit.milliseconds / rateLimit.count;
  /** When each caller will have all their requests back. */
  const freeAt = new Map<string, number>();
  onReset(() => freeAt.clear());

  return (req) => {
    const caller = callerOf(req);
    const time = now();
    // A clock that was set back must lock nobody out.
    const from = Math.min(Math.max(freeAt.get(caller) ?? 0, time), time + rateLimit.milliseconds);
    const wait = from + interval - rateLimit.milliseconds - time;
    const isRefused = wait > 1e-6;
    const until = isRefused ? from : from + interval;
    freeAt.delete(caller);
    freeAt.set(caller, until);
    req.res?.set(rateHeaders(rateLimit, until - time));
    if (isRefused) throw new HttpError(429, 'Too many requests: try again later', { 'Retry-After': seconds(wait) });
    if (freeAt.size > maxCallers) freeAt.delete(freeAt.keys().next().value ?? '');
  };
}

/** `owed` is in how many milliseconds the caller has all requests back. */
function rateHeaders({ count, milliseconds }: Rate, owed: number): Record<string, string> {
  // Without the part that rounding adds, the last one would be missing.
  const left = Math.floor(((milliseconds - owed) / milliseconds) * count + 1e-6);
  return {
    'RateLimit-Policy': `${count};w=${milliseconds / 1000}`,
    'RateLimit-Limit': `${count}`,
    'RateLimit-Remaining': `${left}`,
    'RateLimit-Reset': seconds(owed),
  };
}

function callerOf(req: Request): string {
  const { principal } = req;
  if (!principal) return `address ${addressOf(req)}`;
  return principal.keyId === null ? `user ${principal.user.id}` : `key ${principal.keyId}`;
}

/** Returns the address that requests are counted against: an IPv6 network of 56 bits is one. */
export function addressOf(req: Pick<Request, 'ip' | 'socket'>): string {
  return ipKeyGenerator(clientAddress(req));
}

/**
 * Returns the client's address as trusted proxies tell it, with or without a port (Azure's and IIS's add one). What they
 * tell that is no address is passed over for the proxy's own. Empty once the connection is closed.
 */
export function clientAddress({ ip = '', socket }: Pick<Request, 'ip' | 'socket'>): string {
  const bare = ip.replace(/^\[(.*)\](:\d+)?$|^([\d.]+):\d+$/, '$1$3');
  return (isIP(bare) ? bare : (socket.remoteAddress ?? '')).replace(/^::ffff:(?=[\d.]+$)/, '');
}

function seconds(milliseconds: number): string {
  return String(Math.ceil(milliseconds / 1000));
}
