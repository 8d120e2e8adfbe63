import { getServers } from 'node:dns';
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { isRange, parseRange, type Range } from './range.ts';

/** What a server knows about the host that it shares with a local engine. */
export type Host = {
  /** The addresses of the host. */
  addresses: Range[];
  /** The DNS servers of the host. Docker's own asks them from inside a machine. */
  nameServers: Range[];
};

/** More addresses and DNS servers of a host are left out. */
const mostAddresses = 128;
const mostNameServers = 16;

/** Where systemd-resolved names the servers that it asks; Docker reads that, too. */
const resolvedFile = '/run/systemd/resolve/resolv.conf';

/** Reads the addresses of this host, which may change while the server runs. */
export function readHost(): Host {
  const addresses = Object.values(networkInterfaces()).flatMap((found = []) => found.map(({ address }) => address));
  return {
    addresses: rangesOf(addresses, mostAddresses),
    nameServers: rangesOf([...getServers(), ...resolvedServers()], mostNameServers),
  };
}

/** Returns single addresses; a loopback address is each machine's own. */
function rangesOf(texts: string[], most: number): Range[] {
  const written = texts.map((text) => text.replace(/%.*$/, '')).filter(isRange);
  const ranges = [...new Set(written)].map(parseRange);
  return ranges.filter(({ address }) => address.range() !== 'loopback').slice(0, most);
}

function resolvedServers(): string[] {
  try {
    return [...readFileSync(resolvedFile, 'utf8').matchAll(/^nameserver (\S+)$/gm)].map(([, server = '']) => server);
  } catch {
    return [];
  }
}
