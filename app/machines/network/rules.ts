/**
 * What the programs in a machine may reach, as E2B's API says it: what `allow` or `domains` names
 * is open, then what `deny` names is closed, and the rest is open. Addresses that are closed to
 * everybody (`closed.ts`) are open only if `allow` names them. Addresses are IPv4 or IPv6, with the
 * length of a prefix or without: `10.0.0.0/8`, `10.1.2.3`, `fd00::/8`.
 */
export type EgressRules = {
  /** false: as if `deny` named every address */
  internet: boolean;
  allow: string[];
  deny: string[];
  /** ports of TCP and UDP that are open everywhere but at closed addresses, whatever `deny` says */
  openPorts: number[];
  /** names of hosts, also `*.example.com`; only for drivers with the feature `domains` */
  domains: string[];
  /** IPv4 addresses of the DNS servers to use; null: the engine's */
  dnsServers: string[] | null;
};

/** The rules of a sandbox that asks for none. */
export const openNetwork: EgressRules = {
  internet: true,
  allow: [],
  deny: [],
  openPorts: [],
  domains: [],
  dnsServers: null,
};

/** The rules of a sandbox without Internet access. */
export const noInternet: EgressRules = { ...openNetwork, internet: false };
