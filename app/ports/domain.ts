import { isIP } from 'node:net';
import type { Request } from 'express';
import type { Context } from '../context.ts';
import { isLoopback } from '../http/addresses.ts';

/**
 * The domain if ports can't be reached by name. Clients derive the host names of a sandbox's ports
 * from it. Without one they would use E2B's, and reach machines that are not Sandpit's. This one is
 * reserved and never resolves (RFC 6761, 6.4).
 */
export const noDomain = 'sandpit.invalid';

/**
 * Returns the domain below which a client reaches the ports of its sandboxes: the configured one,
 * or with machines `localhost` and its port, if the client reached this server by a loopback
 * address. Names below `localhost` lead to loopback addresses (RFC 6761, 6.3).
 */
export function domainFor(
  { config: { domain }, machines }: Pick<Context, 'config' | 'machines'>,
  { headers: { host = '' } }: Pick<Request, 'headers'>,
): string {
  if (domain !== undefined) return domain;
  const [, name = '', port = ''] = /^(.+?)(:\d+)?$/.exec(host.toLowerCase()) ?? [];
  const address = name.replace(/^\[|\]$/g, '');
  const isLocal = address === 'localhost' || (isIP(address) !== 0 && isLoopback(address));
  return machines && isLocal ? `localhost${port}` : noDomain;
}
