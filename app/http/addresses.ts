import type { AddressInfo } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Networks, each as an address and the length of its prefix. */
export type AllowedNetworks = [ipaddr.IPv4 | ipaddr.IPv6, number][];

/** Returns networks that are written as addresses or prefixes, with commas between them. Throws an Error for what is none. */
export function readNetworks(text: string): AllowedNetworks {
  return text.split(',').map((entry) => {
    const written = entry.trim();
    if (/^::ffff:/i.test(written)) throw new Error(`must have IPv4 written as such, not '${written}'`);
    if (ipaddr.isValidCIDR(written)) return ipaddr.parseCIDR(written);
    // Not `isValid` alone: a plain number would be an address, too.
    if (ipaddr.isValid(written) && /[.:]/.test(written)) return wholeAddress(ipaddr.parse(written));
    throw new Error(`must be addresses or networks such as 10.0.0.0/8 with commas between them, not '${written}'`);
  });
}

function wholeAddress(address: ipaddr.IPv4 | ipaddr.IPv6): AllowedNetworks[number] {
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}

/** What stands for every address of a machine, and the one at which the machine itself reaches it. */
const wildcards: Record<string, string> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** Returns whether a server that listens at an address listens at all addresses of the machine. */
export function isWildcard(address: string): boolean {
  return Object.hasOwn(wildcards, address);
}

/** Returns the URL of a server that listens at an address: one that works on its own machine, in every client. */
export function urlOf(scheme: 'http' | 'https', { address, family, port }: AddressInfo): string {
  const reached = wildcards[address] ?? address;
  return `${scheme}://${family === 'IPv6' ? `[${reached}]` : reached}:${port}`;
}

/** Returns a URL's host as an address is written, without the brackets that a URL has around it. */
export function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '');
}

/** Returns why no connection came about: a name with several addresses fails with several errors and no words of its own. */
export function reasonOf(error: Error): string {
  if (error instanceof AggregateError) return [...new Set(error.errors.map(({ message }) => message))].join(', ');
  return error.message;
}
