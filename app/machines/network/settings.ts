import type { JsonObject } from '../../../db/json/json.ts';
import type { components } from '../../../spec/types.gen.ts';
import { isRange } from './range.ts';
import { type EgressRules, openNetwork } from './rules.ts';

type Network = components['schemas']['SandboxNetworkConfig'];
type Settings = {
  allowInternetAccess?: boolean | null;
  network?: Network;
  /** whether the network was changed while the sandbox was paused */
  networkWaits?: boolean;
};

/** Returns the rules that a sandbox's settings give its machine. */
export function egressOf(stored: JsonObject | null | undefined): EgressRules {
  const { allowInternetAccess, network = {} }: Settings = stored ?? {};
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

/** Returns whether a machine must be given its rules when it is resumed with its memory. */
export function networkWaits(settings: string | null): boolean {
  return (JSON.parse(settings ?? '{}') as Settings).networkWaits === true;
}
