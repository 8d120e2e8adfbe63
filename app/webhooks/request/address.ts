import type { LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { Networks } from '../../config/network-readers.ts';
import { hostOf } from '../../http/addresses.ts';
import { addressesOf, type NameServers, nameServers } from './resolve.ts';

/** What is given out of IPv6 (IANA, "IPv6 Global Unicast Address Assignments"); the rest leads nowhere, or where nobody meant it to. */
const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');

/** Public by its range, but Azure's own: each of its machines reaches there what is meant for that machine alone. */
const azureHost = '168.63.129.16';

/** Why a webhook is not sent where its URL leads. */
export class AddressRefused extends Error {
  override name = 'AddressRefused';
}

/**
 * Throws AddressRefused for an address that only this machine or its network can reach (IANA's special-purpose
 * registries), unless it is allowed: whoever makes a webhook is not to reach through it what they can't reach themselves.
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
 * Returns the URL. Throws AddressRefused for one that can't be sent to, as far as it tells by itself; what its name leads to
 * is asked at each sending.
 */
export function requireSendable(text: string, allowed: Networks): URL {
  const url = URL.parse(text);
  if (!url || !/^https?:$/.test(url.protocol)) throw new AddressRefused('it must be an http or https URL');
  if (url.username || url.password) throw new AddressRefused('it must hold no user name and no password');
  const host = hostOf(url);
  if (ipaddr.isValid(host)) requireReachable(host, allowed);
  else if (/(^|\.)localhost\.?$/i.test(host)) requireReachable('127.0.0.1', allowed);
  return url;
}

/** Returns what a connection asks for the addresses of a name: it gets all or, where one is refused, AddressRefused. */
export function guardedLookup(allowed: Networks, servers = nameServers): LookupFunction {
  return (name, options, answer) => {
    reachableOf(name, allowed, servers).then(
      (addresses) => {
        const [first] = addresses;
        if (options.all || !first) answer(null, addresses);
        else answer(null, first.address, first.family);
      },
      (error) => answer(error, []),
    );
  };
}

async function reachableOf(name: string, allowed: Networks, servers: NameServers): Promise<LookupAddress[]> {
  const addresses = await addressesOf(name, servers);
  for (const { address } of addresses) requireReachable(address, allowed);
  return addresses;
}
