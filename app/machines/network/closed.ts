import { parseRange, type Range } from './range.ts';

/**
 * Addresses that are nobody's on the Internet, so that a machine could only reach services of its
 * host's network by them (IANA's special-purpose address registries, RFC 6890).
 */
const closedIpv4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  // Among them 169.254.169.254, by which clouds serve the credentials of a host.
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // In a public range, but on an Azure machine it is a service that serves this machine only.
  '168.63.129.16/32',
];

/**
 * The same of IPv6, of which only 2000::/3 is assigned. Translators (NAT64, 6to4, Teredo) are
 * closed too: they lead to IPv4 addresses that IPv4's list may close.
 */
const closedIpv6 = [
  // fd00:ec2::254 and its like, local addresses, multicast
  '8000::/1',
  '4000::/2',
  // IPv4 in IPv6, NAT64
  '::/3',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '2620:4f:8000::/48',
  '3fff::/20',
];

/** The ranges that are closed to machines unless a sandbox's `allow` names them. */
export const closedRanges: readonly Range[] = [...closedIpv4, ...closedIpv6].map(parseRange);
