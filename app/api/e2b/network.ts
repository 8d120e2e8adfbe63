import type { components } from '../../../spec/types.gen.ts';

type Schemas = components['schemas'];
type Network = Schemas['SandboxNetworkConfig'];
type Rule = Schemas['SandboxNetworkRules'][string][number];

/** Returns network rules as answers show them: what is known of them, without the proxy's password and CA certificate. */
export function shownNetwork(kept: Network): Network {
  const { egressProxy, ...rest } = knownNetwork(kept);
  if (!egressProxy) return rest;
  const { password: _, tls, ...proxy } = egressProxy;
  if (!tls) return { ...rest, egressProxy: proxy };
  const { caCert: __, ...shownTls } = tls;
  return { ...rest, egressProxy: { ...proxy, tls: shownTls } };
}

/** Returns network rules without what the contract doesn't know: earlier versions kept whatever they were given. */
export function knownNetwork(kept: Network): Network {
  const { allowOut, denyOut, dnsServers, rules, egressProxy, allowPublicTraffic, maskRequestHost, httpsPorts } = kept;
  const known = {
    ...{ allowOut, denyOut, dnsServers, allowPublicTraffic, maskRequestHost, httpsPorts },
    rules: rules && knownRules(rules),
    egressProxy: egressProxy?.address ? knownProxy(egressProxy) : undefined,
  };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
}

/** Returns settings as an import takes them; null where there are none. Both are JSON text of an object. */
export function knownSettings(kept: string | null): string | null {
  if (kept === null) return null;
  const { network, ...others }: { network?: Network } = JSON.parse(kept);
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

function knownProxy(proxy: NonNullable<Schemas['SandboxEgressProxy']>): NonNullable<Schemas['SandboxEgressProxy']> {
  const { address, username, password, tls } = proxy;
  const known = { address, username, password, tls: tls && knownTls(tls) };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value != null)) as typeof proxy;
}

type Tls = NonNullable<NonNullable<Schemas['SandboxEgressProxy']>['tls']>;

function knownTls({ enabled, serverName, caCert }: Tls): Tls {
  return { enabled, ...(serverName !== undefined && { serverName }), ...(caCert !== undefined && { caCert }) };
}
