import { closedRanges } from './closed.ts';
import type { Host } from './host.ts';
import { coverIpv4, isWithin, parseRange, type Range } from './range.ts';
import type { EgressRules } from './rules.ts';

/** One step of a decision about a destination. */
export type Step = {
  verdict: 'allow' | 'deny';
  /** `own`: the networks that the machine itself is in, where its host is */
  to: Range | 'own';
  /** of TCP and UDP; null: everything */
  port: number | null;
};

/**
 * What a machine may reach: the first step that is about a destination decides; without one it is
 * open.
 */
export type Policy = {
  steps: Step[];
  /** whether the DNS servers that the engine gave the machine answer, on port 53 */
  opensDns: boolean;
  /** the addresses of the DNS servers that programs are to use instead; null: the engine's */
  nameServers: string[] | null;
};

/** How many entries each list of a sandbox's rules may have, as openapi.yaml says. */
export const mostEntries = 256;

const dnsPort = 53;
const everything = ['0.0.0.0/0', '::/0'].map(parseRange);

/**
 * Returns the policy for a sandbox's rules, exactly: no entry is widened or dropped. `host` is what
 * only the server knows: its own addresses are closed as private ones are, because services on the
 * host trust them. Domains are the driver's business.
 */
export function compilePolicy(rules: EgressRules, host: Host): Policy {
  const closed = [...closedRanges, ...host.addresses];
  const [allow, deny] = [rules.allow.map(parseRange), rules.deny.map(parseRange)];
  // `0.0.0.0/0` is how E2B's clients write "everything".
  const deniesAll = !rules.internet || coverIpv4(deny);
  const opensDns = rules.dnsServers === null && (!deniesAll || rules.openPorts.length > 0);
  // A range that only overlaps a closed one, such as 0.0.0.0/0, does not open that.
  const isNamed = (range: Range) => closed.some((outer) => isWithin(range, outer));
  const to = (verdict: Step['verdict'], ranges: Range[], port: number | null = null): Step[] =>
    ranges.map((range) => ({ verdict, to: range, port }));
  const steps: Step[] = [
    ...to('allow', allow.filter(isNamed)),
    ...to('allow', rules.dnsServers?.map(parseRange) ?? [], dnsPort),
    ...to('allow', opensDns ? host.nameServers : [], dnsPort),
    { verdict: 'deny', to: 'own', port: null },
    ...to('deny', closed),
    ...to(
      'allow',
      allow.filter((range) => !isNamed(range)),
    ),
    ...rules.openPorts.flatMap((port) => to('allow', everything, port)),
    ...to('deny', deniesAll ? everything : deny),
  ];
  return { steps, opensDns, nameServers: rules.dnsServers };
}
