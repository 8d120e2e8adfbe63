import { isIP } from 'node:net';
import type { JsonObject } from '../../../db/json/json.ts';
import type { components } from '../../../spec/types.gen.ts';
import { type EgressRules, openNetwork } from './rules.ts';

type Network = components['schemas']['SandboxNetworkConfig'];
type Settings = { allowInternetAccess?: boolean | null; network?: Network };

/** Returns the rules that a sandbox's settings give its machine. */
export function egressOf(stored: JsonObject | null | undefined): EgressRules {
  const { allowInternetAccess, network = {} }: Settings = stored ?? {};
  const { allowOut = [], denyOut = [], dnsServers = null } = network;
  return {
    ...openNetwork,
    internet: allowInternetAccess !== false,
    allow: allowOut.filter(isRange),
    domains: allowOut.filter((each) => !isRange(each)),
    deny: denyOut,
    dnsServers,
  };
}

/** Returns whether a text is an address, or an address and the length of a prefix. */
function isRange(text: string): boolean {
  return isIP(text.replace(/\/\d+$/, '')) !== 0;
}
