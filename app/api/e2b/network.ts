import type { components } from '../../../spec/types.gen.ts';

type Schemas = components['schemas'];
type Network = Schemas['SandboxNetworkConfig'];
type Rule = Schemas['SandboxNetworkRules'][string][number];
type Proxy = NonNullable<Schemas['SandboxEgressProxy']>;
type Tls = NonNullable<Proxy['tls']>;

/** Returns network rules for a response: without the proxy's password and CA certificate. */
export function shownNetwork(stored: Network): Network {
  const { egressProxy, ...rest } = knownNetwork(stored);
  if (!egressProxy) return rest;
  const { password: _, tls, ...proxy } = egressProxy;
  if (!tls) return { ...rest, egressProxy: proxy };
  const { caCert: __, ...shownTls } = tls;
  return { ...rest, egressProxy: { ...proxy, tls: shownTls } };
}

/**
 * Returns network rules without members that the contract does not have. Earlier versions stored
 * whatever clients sent.
 */
export function knownNetwork(stored: Network): Network {
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

/**
 * Returns a sandbox's settings (JSON text of an object, or null) in a form that an import accepts.
 */
export function knownSettings(stored: string | null): string | null {
  if (stored === null) return null;
  const { network, ...others }: { network?: Network } = JSON.parse(stored);
  return JSON.stringify({ ...others, ...(network && { network: knownNetwork(network) }) });
}

function knownRules(rules: Schemas['SandboxNetworkRules']): Schemas['SandboxNetworkRules'] {
  const lists = Object.entries(rules).filter(([, list]) => Array.isArray(list));
  return Object.fromEntries(lists.map(([domain, list]) => [domain, list.map(knownRule)]));
}

function knownRule({ transform }: Rule): Rule {
  if (!transform) return {};
  return { transform: transform.headers ? { headers: transform.headers } : {} };
}

function knownProxy({ address, username, password, tls }: Proxy): Proxy {
  const known = { address, username, password, tls: tls && knownTls(tls) };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value != null)) as Proxy;
}

function knownTls({ enabled, serverName, caCert }: Tls): Tls {
  return { enabled, ...withoutUndefined({ serverName, caCert }) };
}

function withoutUndefined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}
