import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { Networks } from '../../config/network-readers.ts';
import { hostOf } from '../../http/addresses.ts';
import { addressesOf, type NameServers, nameServers } from './resolve.ts';

/** The assigned part of IPv6 (IANA, "IPv6 Global Unicast Address Assignments"). */
const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');

/** In a public range, but on an Azure machine it is a service that serves this machine only. */
const azureHost = '168.63.129.16';

/** A URL to which webhooks are not sent; the message says why. */
export class AddressRefused extends Error {
  override name = 'AddressRefused';
}

/**
 * Throws AddressRefused for an address that is not public (IANA's special-purpose registries),
 * unless it is allowed. Otherwise a webhook could reach services that its owner cannot.
 */
export function requireReachable(address: string, allowed: Networks): void {
  const parsed = ipaddr.process(address);
  if (isPublic(parsed)) return;
  if (allowed.some(([network, bits]) => network.kind() === parsed.kind() && parsed.match(network as never, bits)))
    return;
  throw new AddressRefused('its address is not public: the operator may allow it with SANDPIT_WEBHOOK_ALLOW');
}

function isPublic(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (address.range() !== 'unicast' || address.toString() === azureHost) return false;
  return address instanceof ipaddr.IPv4 || address.match(...globalUnicast);
}

/**
 * Returns the parsed URL. Throws AddressRefused when the URL itself shows that nothing may be sent
 * to it. The addresses of a host name are checked at each attempt, by `guardedLookup`.
 */
export function requireSendable(text: string, allowed: Networks): URL {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol)) throw new AddressRefused('it must be an http or https URL');
  if (url.username || url.password) throw new AddressRefused('it must not contain a user name or password');
  const host = hostOf(url);
  if (ipaddr.isValid(host)) requireReachable(host, allowed);
  else if (/(^|\.)localhost\.?$/i.test(host)) requireReachable('127.0.0.1', allowed);
  return url;
}

/**
 * Returns a lookup function for a connection. It fails with AddressRefused if any address is
 * refused.
 */
export function guardedLookup(allowed: Networks, servers = nameServers): LookupFunction {
  return (name, options, callback) => {
    reachableOf(name, allowed, servers).then(
      (addresses) => {
        const [first] = addresses;
        if (options.all || !first) callback(null, addresses);
        else callback(null, first.address, first.family);
      },
      (error) => callback(error, []),
    );
  };
}

async function reachableOf(name: string, allowed: Networks, servers: NameServers): Promise<LookupAddress[]> {
  const addresses = await addressesOf(name, servers);
  for (const { address } of addresses) requireReachable(address, allowed);
  return addresses;
}
