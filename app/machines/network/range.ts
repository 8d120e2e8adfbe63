import ipaddr from 'ipaddr.js';

/** Addresses that share their first bits. */
export type Range = { address: ipaddr.IPv4 | ipaddr.IPv6; bits: number };

/** The first bits of an IPv4 address in IPv6's notation, `::ffff:10.0.0.1`. */
const mappedBits = 96;

/**
 * Reads an address or a range of them, as `10.1.2.3`, `10.0.0.0/8` or `fd00::/8`. IPv4 in IPv6's
 * notation becomes IPv4: the kernel sends it as that. Throws an Error for any other text.
 */
export function parseRange(text: string): Range {
  if (!isRange(text)) throw new Error(`'${text}' is no address, and no range of addresses`);
  const [address, bits] = text.includes('/') ? ipaddr.parseCIDR(text) : whole(ipaddr.parse(text));
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() && bits >= mappedBits)
    return { address: address.toIPv4Address(), bits: bits - mappedBits };
  return { address, bits };
}

/** Returns whether a text is an address or a range, in the usual notation. */
export function isRange(text: string): boolean {
  // ipaddr.js would take 10.1 and 0x0a000001 too, as inet_aton(3) does, and fe80::1%eth0.
  const [address = '', bits, ...rest] = text.split('/');
  const most = ipaddr.IPv4.isValidFourPartDecimal(address) ? 32 : ipaddr.IPv6.isValid(address) ? 128 : -1;
  const isWhole = bits === undefined || (/^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= most);
  return most >= 0 && !address.includes('%') && rest.length === 0 && isWhole;
}

/** Returns whether every address of a range is in another. */
export function isWithin(inner: Range, outer: Range): boolean {
  return inner.bits >= outer.bits && has(outer, inner.address);
}

/** Returns whether an address is in a range. */
export function has({ address, bits }: Range, found: Range['address']): boolean {
  return found.kind() === address.kind() && found.match(address as never, bits);
}

/** Returns whether ranges have every address of IPv4. */
export function coverIpv4(ranges: readonly Range[]): boolean {
  const spans = ranges
    .filter(({ address }) => address.kind() === 'ipv4')
    .map(({ address, bits }) => {
      const size = 2 ** (32 - bits);
      const number = address.toByteArray().reduce((sum, byte) => sum * 256 + byte, 0);
      const first = number - (number % size);
      return { first, end: first + size };
    })
    .sort((a, b) => a.first - b.first);
  return spans.reduce((end, span) => (span.first <= end ? Math.max(end, span.end) : end), 0) === 2 ** 32;
}

function whole(address: Range['address']): [Range['address'], number] {
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}
