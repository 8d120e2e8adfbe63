import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { matching } from './readers.ts';

/** Networks, each as an address and the length of its prefix. */
export type Networks = [ipaddr.IPv4 | ipaddr.IPv6, number][];

/** So many requests in so many milliseconds. */
export type Rate = { count: number; milliseconds: number };

/** The value of express's setting `trust proxy`. */
export type TrustedProxies = number | string[] | false;

/**
 * Returns the networks of a comma-separated list of addresses and prefixes. Throws an Error for any
 * other entry.
 */
export function networks(value: string): Networks {
  return value.split(',').map((entry) => {
    const written = entry.trim();
    if (/^::ffff:/i.test(written)) throw new Error(`must name IPv4 networks in IPv4's own notation, not '${written}'`);
    if (ipaddr.isValidCIDR(written)) return ipaddr.parseCIDR(written);
    // `isValid` alone also accepts a plain number.
    if (ipaddr.isValid(written) && /[.:]/.test(written)) return singleAddress(ipaddr.parse(written));
    throw new Error(`must be comma-separated addresses or networks such as 10.0.0.0/8, not '${written}'`);
  });
}

function singleAddress(address: ipaddr.IPv4 | ipaddr.IPv6): Networks[number] {
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}

/**
 * Returns the origins of a comma-separated list. Throws an Error for an entry that is neither an
 * origin nor `*`.
 */
export function origins(value: string): string[] {
  return listOf(value, isOrigin, 'comma-separated origins such as https://app.example.com, or *');
}

function isOrigin(entry: string): boolean {
  return entry === '*' || (/^https?:/.test(entry) && URL.canParse(entry) && new URL(entry).origin === entry);
}

/** Returns a domain, with a port or without, in lower case. Throws an Error for anything else. */
export function domain(value: string): string {
  const name = /^(?=.{1,200}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:\d{1,5})?$/i;
  return matching(value, name, 'a domain such as sandboxes.example.com, or with a port').toLowerCase();
}

/**
 * Returns a number of proxies, or a list of their addresses. Throws an Error for anything else. No
 * value trusts every proxy, because then any client could choose its own address.
 */
export function proxies(value: string): TrustedProxies {
  if (value === 'false') return false;
  if (/^[1-9]\d?$/.test(value)) return Number(value);
  return listOf(value, isProxy, 'a number of proxies, or addresses and networks such as 10.0.0.0/8, or loopback');
}

function isProxy(entry: string): boolean {
  if (/^(loopback|linklocal|uniquelocal)$/.test(entry)) return true;
  const [address = '', bits, ...rest] = entry.split('/');
  const longest = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return rest.length === 0 && (bits === undefined ? longest > 0 : /^\d+$/.test(bits) && Number(bits) <= longest);
}

/** Returns a rate such as `50/s` or `600/m`. Throws an Error that explains the format. */
export function rate(value: string): Rate {
  const [, digits, unit] = /^(\d{1,7})\/([sm])$/.exec(value) ?? [];
  const count = Number(digits);
  if (count > 0) return { count, milliseconds: unit === 's' ? 1000 : 60_000 };
  throw new Error(`must be a whole number above 0 followed by /s or /m, not '${value}'`);
}

function listOf(value: string, isAllowed: (entry: string) => boolean, allowed: string): string[] {
  const entries = value.split(',').map((entry) => entry.trim());
  const wrong = entries.find((entry) => !isAllowed(entry));
  if (wrong === undefined) return entries;
  throw new Error(`must be ${allowed}, not '${wrong}'`);
}
