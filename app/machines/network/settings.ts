import type { JsonObject } from '../../../db/json/json.ts';
import type { components } from '../../../spec/types.gen.ts';
import { isRange } from './range.ts';
import { type EgressRules, openNetwork } from './rules.ts';

type Network = components['schemas']['SandboxNetworkConfig'];
type Settings = {
  allowInternetAccess?: boolean | null;
  network?: Network;
  /** a policy of InstaVM's, in place of `allowInternetAccess` and the lists of `network` */
  egressPolicy?: components['schemas']['EgressPolicy'];
  /** whether the network was changed while the sandbox was paused */
  networkWaits?: boolean;
};

/** Returns the rules that a sandbox's settings give its machine. */
export function egressOf(stored: JsonObject | null | undefined): EgressRules {
  const { allowInternetAccess, network = {}, egressPolicy }: Settings = stored ?? {};
  if (egressPolicy) return rulesOf(egressPolicy);
  const { allowOut = [], denyOut = [], dnsServers = null } = network;
  return {
    ...openNetwork,
    internet: allowInternetAccess !== false,
    allow: allowOut.filter(isRange),
    domains: allowOut.filter((each) => !isRange(each)),
    deny: denyOut.filter(isRange),
    dnsServers,
  };
}

/** The hosts of the registries that package managers use. */
const registries = [
  ...['pypi.org', 'files.pythonhosted.org', 'registry.npmjs.org', 'registry.yarnpkg.com', 'rubygems.org'],
  ...['crates.io', 'index.crates.io', 'static.crates.io', 'proxy.golang.org', 'sum.golang.org'],
  ...['deb.debian.org', 'security.debian.org', 'archive.ubuntu.com', 'security.ubuntu.com', 'dl-cdn.alpinelinux.org'],
  ...['repo.maven.apache.org', 'repo1.maven.org'],
];

/** Everything is closed that a policy of InstaVM's does not open. */
function rulesOf(policy: NonNullable<Settings['egressPolicy']>): EgressRules {
  const { allow_http: http, allow_https: https, allow_package_managers: packages } = policy;
  const { allowed_domains: domains = [], allowed_cidrs: allow = [] } = policy;
  const openPorts = [...(http ? [80] : []), ...(https ? [443] : [])];
  // With port 443 open they are reached anyway, also by machines that know no names.
  const named = packages && !https ? registries : [];
  return { ...openNetwork, internet: false, allow, openPorts, domains: [...domains, ...named] };
}

/** Returns whether a machine must be given its rules when it is resumed with its memory. */
export function networkWaits(settings: string | null): boolean {
  return (JSON.parse(settings ?? '{}') as Settings).networkWaits === true;
}
