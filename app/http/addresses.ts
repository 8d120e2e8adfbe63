import { type AddressInfo, BlockList, isIPv6 } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/**
 * Returns whether only this machine can reach an address to listen on. `localhost` is the only name
 * that counts.
 */
export function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || loopback.check(host, isIPv6(host) ? 'ipv6' : 'ipv4');
}

/**
 * Addresses that stand for every address of a machine, each with the loopback address of its
 * family.
 */
const wildcards: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/**
 * Returns whether a server that listens on this address listens on every address of the machine.
 */
export function isWildcard(address: string): boolean {
  return Object.hasOwn(wildcards, address);
}

/** Returns a URL that reaches, from the same machine, a server that listens on this address. */
export function urlOf(scheme: 'http' | 'https', { address, family, port }: AddressInfo): string {
  const reached = wildcards[address] ?? address;
  return `${scheme}://${family === 'IPv6' ? `[${reached}]` : reached}:${port}`;
}

/** Returns a URL's host without the brackets that a URL puts around IPv6. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}

/**
 * Returns why a connection failed. A name with several addresses fails with an AggregateError: one
 * error for each address, and no message of its own.
 */
export function reasonOf(error: Error): string {
  if (error instanceof AggregateError) return [...new Set(error.errors.map(({ message }) => message))].join(', ');
  return error.message;
}
