import type { MachineSpec } from '../driver.ts';
import { MachineError } from '../error.ts';
import { compilePolicy, type Step } from '../network/compile.ts';
import { type Host, readHost } from '../network/host.ts';
import type { EgressRules } from '../network/rules.ts';

/**
 * The gateway leads to the loopback address of the host, so nothing opens it. Its port 53 is msb's
 * own DNS server, which asks the rules about each name.
 */
const gateway = ['tcp', 'udp'].flatMap((protocol) => [`deny@host:${protocol}:1-52`, `deny@host:${protocol}:54-65535`]);

/**
 * Returns the arguments of `msb create` and `msb restore` for what a machine may reach. The runtime
 * outside the machine enforces them. The first rule that matches decides; without one it is closed.
 *
 * What is closed comes before names, so that no name opens an address. A connection matches a name
 * only if msb itself has just resolved it to that address, and if TLS, where it is used, says the
 * same name.
 */
export function networkArguments(rules: EgressRules, host: Host = readHost()): string[] {
  const { steps } = compilePolicy(rules, host);
  const deniesAll = steps.some(isDenialOfAll);
  const written = steps.filter((step) => !(deniesAll && isOfAll(step))).flatMap(ruleOf);
  const names = rules.domains.map(nameRule);
  // With domains, their names are the only ones that msb resolves.
  const opensDns = !deniesAll || (rules.dnsServers !== null && names.length === 0);
  const list = [
    ...(opensDns ? ['allow@dns'] : []),
    ...gateway,
    ...written,
    ...names,
    ...(deniesAll ? [] : ['allow@public']),
  ];
  if (!list.some((rule) => rule.startsWith('allow@'))) return ['--no-net'];
  return ['--net-default', 'deny', '--net-rule', list.join(',')];
}

/** Returns the arguments of `msb create` for the DNS servers that msb's own asks. */
export function dnsArguments({ dnsServers }: EgressRules): string[] {
  return (dnsServers ?? []).flatMap((server) => ['--dns-nameserver', server]);
}

/** Throws MachineError `unsupported` for network rules that msb can't enforce. */
export function refuseRules({ network, isSnapshot }: Pick<MachineSpec, 'network' | 'isSnapshot'>): void {
  if (network.openPorts.length > 0)
    throw new MachineError(
      'unsupported',
      'allow_http and allow_https are not offered for microVMs: give allowed_domains or allowed_cidrs',
    );
  const wide = network.domains.find((name) => /^\*\.[^.]*$/.test(name));
  if (wide !== undefined)
    throw new MachineError('unsupported', `network.allowOut: ${wide} is too wide for microVMs: name a domain below it`);
  if (isSnapshot && network.dnsServers !== null)
    throw new MachineError(
      'unsupported',
      'network.dnsServers is not offered for microVMs that start from a snapshot: leave it out',
    );
}

/** Rules about DNS servers and the gateway are not needed: msb's own server answers there. */
function ruleOf({ verdict, to, port }: Step): string[] {
  if (to === 'own' || port !== null) return [];
  const range = `${to.address.toString()}/${to.bits}`;
  return [`${verdict}@${to.address.kind() === 'ipv6' ? `[${range}]` : range}`];
}

function nameRule(domain: string): string {
  // For msb, `suffix=` includes the domain itself.
  return domain.startsWith('*.') ? `allow@suffix=${domain.slice(2)}` : `allow@domain=${domain}`;
}

function isDenialOfAll(step: Step): boolean {
  return isOfAll(step) && step.to !== 'own' && step.to.address.kind() === 'ipv4';
}

function isOfAll({ verdict, to }: Step): boolean {
  return verdict === 'deny' && to !== 'own' && to.bits === 0;
}
