import type { components } from '../spec/types.gen.ts';

type Schemas = components['schemas'];
type Network = Schemas['SandboxNetworkConfig'];
type Rule = Schemas['SandboxNetworkRules'][string][number];
type Proxy = NonNullable<Schemas['SandboxEgressProxy']>;
type Tls = NonNullable<Proxy['tls']>;

/**
 * Returns the network rules that Sandpit keeps and shows: without the egress proxy's password and
 * CA certificate, which nothing uses, and without members that the contract does not have. Earlier
 * versions stored whatever clients sent.
 */
export function keptNetwork(stored: Network): Network {
  const { rules, egressProxy } = stored;
  return withoutUndefined({
    allowOut: stored.allowOut,
    denyOut: stored.denyOut,
    dnsServers: stored.dnsServers,
    allowPublicTraffic: stored.allowPublicTraffic,
    maskRequestHost: stored.maskRequestHost,
    httpsPorts: stored.httpsPorts,
    rules: rules && knownRules(rules),
    egressProxy: egressProxy?.address ? knownProxy(egressProxy) : undefined,
  });
}

/** Returns a sandbox's settings with the network rules that Sandpit keeps. */
export function keptSettings<T extends { network?: Network | undefined }>({ network, ...others }: T) {
  return { ...others, ...(network && { network: keptNetwork(network) }) };
}

function knownRules(rules: Schemas['SandboxNetworkRules']): Schemas['SandboxNetworkRules'] {
  const lists = Object.entries(rules).filter(([, list]) => Array.isArray(list));
  return Object.fromEntries(lists.map(([domain, list]) => [domain, list.map(knownRule)]));
}

function knownRule({ transform }: Rule): Rule {
  if (!transform) return {};
  return { transform: transform.headers ? { headers: transform.headers } : {} };
}

function knownProxy({ address, username, tls }: Proxy): Proxy {
  const known = { address, username, tls: tls && knownTls(tls) };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value != null)) as Proxy;
}

function knownTls({ enabled, serverName }: Tls): Tls {
  return { enabled, ...withoutUndefined({ serverName }) };
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}
