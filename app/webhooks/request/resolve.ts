import { type LookupAddress, lookup } from 'node:dns';
import { Resolver } from 'node:dns/promises';

/** How long a name server may take to answer; the second try may take twice as long. */
const timeoutMilliseconds = 2000;
const tries = 2;

/** Errors after which the operating system is asked: it may know the name from another source. */
const unknown = new Set(['ENOTFOUND', 'ENODATA', 'ECONNREFUSED']);

export type NameServers = Pick<Resolver, 'resolve4' | 'resolve6'>;

/** The name servers that the machine is configured with. */
export const nameServers: NameServers = new Resolver({ timeout: timeoutMilliseconds, tries });

/** The last lookup by the operating system; the next one waits for it. */
let lastLookup: Promise<unknown> = Promise.resolve();

/**
 * Returns all addresses of a name. Throws the resolver's error when there are none.
 *
 * The operating system's resolver (getaddrinfo) blocks one of a few threads for as long as a name
 * server is slow. So the name servers are asked directly. The operating system is asked, one name
 * at a time, only for names that they do not know: `localhost`, entries of the hosts file, and
 * names of the local network.
 */
export async function addressesOf(name: string, servers = nameServers): Promise<LookupAddress[]> {
  if (!/\../.test(name)) return osLookup(name);
  const [four, six] = await Promise.allSettled([servers.resolve4(name), servers.resolve6(name)]);
  const found = [
    ...(four.status === 'fulfilled' ? four.value : []).map((address) => ({ address, family: 4 })),
    ...(six.status === 'fulfilled' ? six.value : []).map((address) => ({ address, family: 6 })),
  ];
  if (found.length > 0) return found;
  const failures = [four, six].flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  const failure = failures.find(({ code }) => !unknown.has(code));
  if (failure) throw failure;
  const turn = lastLookup.then(() => osLookup(name));
  lastLookup = turn.catch(() => {});
  return turn;
}

function osLookup(name: string): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(name, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses)));
  });
}
