import { type LookupAddress, lookup } from 'node:dns';
import { Resolver } from 'node:dns/promises';

/** How long a name server may take for its first answer; a second try may take twice as long. */
const timeoutMilliseconds = 2000;
const tries = 2;

/** What a name server says, or the lack of one, when the machine may know the name by other means. */
const unknown = new Set(['ENOTFOUND', 'ENODATA', 'ECONNREFUSED']);

export type NameServers = Pick<Resolver, 'resolve4' | 'resolve6'>;

/** The name servers of the machine. */
export const nameServers: NameServers = new Resolver({ timeout: timeoutMilliseconds, tries });

/** The last look-up by the machine's own means: the next one waits for it. */
let lastLookup: Promise<unknown> = Promise.resolve();

/**
 * Returns all addresses of a name. Throws what the name servers or the machine say when there are none.
 *
 * The machine's own resolver takes one of a few threads for as long as a name server keeps it waiting. So names are
 * asked of the name servers directly; the machine is asked, one name at a time, for those that these don't know:
 * `localhost`, what is in the file of hosts, and names of the local network.
 */
export async function addressesOf(name: string, servers = nameServers): Promise<LookupAddress[]> {
  if (!/\../.test(name)) return lookedUp(name);
  const [four, six] = await Promise.allSettled([servers.resolve4(name), servers.resolve6(name)]);
  const found = [
    ...(four.status === 'fulfilled' ? four.value : []).map((address) => ({ address, family: 4 })),
    ...(six.status === 'fulfilled' ? six.value : []).map((address) => ({ address, family: 6 })),
  ];
  if (found.length > 0) return found;
  const failures = [four, six].flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  const failure = failures.find(({ code }) => !unknown.has(code));
  if (failure) throw failure;
  const turn = lastLookup.then(() => lookedUp(name));
  lastLookup = turn.catch(() => {});
  return turn;
}

function lookedUp(name: string): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    lookup(name, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses)));
  });
}
