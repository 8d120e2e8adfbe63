import { isIP } from 'node:net';
import type { Request } from 'express';
import { ipKeyGenerator } from 'express-rate-limit';
import { LRUCache } from 'lru-cache';
import type { Rate } from '../config/network-readers.ts';
import type { Context } from '../context.ts';
import { HttpError } from '../errors.ts';

/** Callers whose use is remembered. Beyond them, the least recently seen one starts afresh. */
const maxCallers = 10_000;

/**
 * Returns a function that counts a request against its caller: the API key or user if known,
 * otherwise the address. It throws HttpError 429 with `Retry-After` beyond the configured rate. A
 * caller may use a whole period's requests at once, and gets them back one by one (GCRA, the
 * "virtual scheduling" of ITU-T I.371). The `RateLimit-*` headers of the response say how many are
 * left (draft-ietf-httpapi-ratelimit-headers-06, the version that most clients read).
 */
export function rateLimiter({
  config,
  now,
  onReset,
}: Pick<Context, 'config' | 'now' | 'onReset'>): (req: Request) => void {
  const { rateLimit } = config;
  if (!rateLimit) return () => {};
  const interval = rateLimit.milliseconds / rateLimit.count;
  /** The time at which each caller has all requests back. */
  const fullAt = new LRUCache<string, number>({ max: maxCallers });
  onReset(() => fullAt.clear());

  return (req) => {
    const caller = callerOf(req);
    const time = now();
    // Capped, so that a clock that was set back locks no caller out.
    const from = Math.min(Math.max(fullAt.get(caller) ?? 0, time), time + rateLimit.milliseconds);
    const wait = from + interval - rateLimit.milliseconds - time;
    const isRefused = wait > roundingError;
    const until = isRefused ? from : from + interval;
    fullAt.set(caller, until);
    req.res?.set(rateHeaders(rateLimit, until - time));
    if (isRefused) throw new HttpError(429, 'Too many requests: try again later', { 'Retry-After': seconds(wait) });
  };
}

/** Without it, rounding could refuse the last request of a period, or not show it as left. */
const roundingError = 1e-6;

/** `owed` is the time in milliseconds until the caller has all requests back. */
function rateHeaders({ count, milliseconds }: Rate, owed: number): Record<string, string> {
  const left = Math.floor(((milliseconds - owed) / milliseconds) * count + roundingError);
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

/**
 * Returns the address that requests count against. An IPv6 network of 56 bits counts as one
 * address.
 */
export function addressOf(req: Pick<Request, 'ip' | 'socket'>): string {
  return ipKeyGenerator(clientAddress(req));
}

/**
 * Returns the client's address as trusted proxies report it, without the port that some add (Azure,
 * IIS). If they report something else, it is the address of the proxy. Empty once the connection is
 * closed.
 */
export function clientAddress({ ip = '', socket }: Pick<Request, 'ip' | 'socket'>): string {
  const bare = ip.replace(/^\[(.*)\](:\d+)?$|^([\d.]+):\d+$/, '$1$3');
  return (isIP(bare) ? bare : (socket.remoteAddress ?? '')).replace(/^::ffff:(?=[\d.]+$)/, '');
}

function seconds(milliseconds: number): string {
  return String(Math.ceil(milliseconds / 1000));
}
