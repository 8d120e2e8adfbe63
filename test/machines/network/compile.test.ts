import { expect } from 'chai';
import fc from 'fast-check';
import ipaddr from 'ipaddr.js';
import { closedRanges } from '../../../app/machines/network/closed.ts';
import { compilePolicy, type Policy, type Step } from '../../../app/machines/network/compile.ts';
import { readHost } from '../../../app/machines/network/host.ts';
import { coverIpv4, has, isRange, isWithin, parseRange, type Range } from '../../../app/machines/network/range.ts';
import { type EgressRules, openNetwork } from '../../../app/machines/network/rules.ts';

type Address = Range['address'];

const own = parseRange('30.0.0.0/24');
const host = { addresses: [parseRange('40.0.0.7')], nameServers: [parseRange('10.0.0.53')] };

/** What the kernel does with a policy: the first step about a destination decides. */
function isOpen({ steps }: Pick<Policy, 'steps'>, address: Address, port: number): boolean {
  const isAbout = (step: Step) => has(step.to === 'own' ? own : step.to, address) && [null, port].includes(step.port);
  return steps.find(isAbout)?.verdict !== 'deny';
}

/** The same from the meaning of the rules, without an order of steps. */
function mayReach(rules: EgressRules, address: Address, port: number): boolean {
  const isIn = (ranges: readonly Range[]) => ranges.some((range) => has(range, address));
  const [allow, deny] = [rules.allow.map(parseRange), rules.deny.map(parseRange)];
  const deniesAll = !rules.internet || coverIpv4(deny);
  const closed = [...closedRanges, ...host.addresses];
  if (isIn(allow.filter((range) => closed.some((outer) => isWithin(range, outer))))) return true;
  if (port === 53 && isIn((rules.dnsServers ?? []).map(parseRange))) return true;
  const needsNames = !deniesAll || rules.openPorts.length > 0;
  if (port === 53 && rules.dnsServers === null && needsNames && isIn(host.nameServers)) return true;
  if (isIn([own, ...closed])) return false;
  if (rules.openPorts.includes(port)) return true;
  return isIn(allow) || !(deniesAll || isIn(deny));
}

const corners = [
  '10.0.0.0',
  '10.0.0.53',
  '20.0.0.0',
  '30.0.0.1',
  '40.0.0.7',
  '127.0.0.1',
  '169.254.169.254',
  '0.0.0.0',
];
const cornersOfIpv6 = ['::', '::1', '2600::', '2001:db8::1', 'fd00:ec2::254', 'fe80::1', '64:ff9b::a00:1', 'ffff::'];
const ipv4 = fc.oneof(fc.constantFrom(...corners), fc.ipV4());
const ipv6 = fc.oneof(
  fc.constantFrom(...cornersOfIpv6),
  fc.ipV6().filter((text) => ipaddr.IPv6.isValid(text)),
);
const range = fc.oneof(
  fc.tuple(ipv4, fc.integer({ min: 0, max: 32 })).map(([address, bits]) => `${address}/${bits}`),
  fc.tuple(ipv6, fc.integer({ min: 0, max: 128 })).map(([address, bits]) => `${address}/${bits}`),
  ipv4,
  ipv6,
);
const rulesOf = fc.record({
  internet: fc.boolean(),
  allow: fc.array(range, { maxLength: 4 }),
  deny: fc.array(range, { maxLength: 4 }),
  openPorts: fc.subarray([80, 443]),
  domains: fc.constant<string[]>([]),
  dnsServers: fc.option(fc.array(ipv4, { maxLength: 2 })),
});

describe('the policy of network rules', () => {
  it('decides as the rules say, for any address near a boundary of theirs', () => {
    const near = fc.tuple(
      rulesOf,
      fc.oneof(ipv4, ipv6),
      fc.constantFrom(53, 80),
      fc.nat(),
      fc.integer({ min: -1, max: 1 }),
    );
    fc.assert(
      fc.property(near, ([rules, any, port, pick, step]) => {
        const policy = compilePolicy(rules, host);
        const edges = policy.steps.flatMap(({ to }) => (to === 'own' ? [] : [beside(to, step)]));
        for (const address of [ipaddr.process(any), edges[pick % edges.length] as Address])
          expect(isOpen(policy, address, port), `${address} ${port}`).to.equal(mayReach(rules, address, port));
      }),
      { numRuns: 2000 },
    );
  });

  it('closes every address that is not on the Internet, also as a part of another', () => {
    const policy = compilePolicy({ ...openNetwork, allow: ['0.0.0.0/0', '::/0'] }, { addresses: [], nameServers: [] });
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6), (text) => {
        const address = ipaddr.process(text);
        if (address.range() !== 'unicast') expect(isOpen(policy, address, 80), text).to.equal(false);
      }),
    );
    for (const text of ['168.63.129.16', '::ffff:10.0.0.1', '64:ff9b::a9fe:a9fe', '2002:a00:1::', '2001::1', 'fec0::1'])
      expect(isOpen(policy, ipaddr.process(text), 80), text).to.equal(false);
    for (const text of ['1.1.1.1', '2606:4700::1'])
      expect(isOpen(policy, ipaddr.process(text), 80), text).to.equal(true);
  });

  it('counts ranges that together are IPv4 as everything, and closes the engine’s DNS then', () => {
    const policy = compilePolicy({ ...openNetwork, deny: ['128.0.0.0/1', '0.0.0.0/2', '64.0.0.0/2'] }, host);
    expect(policy.opensDns).to.equal(false);
    expect(isOpen(policy, ipaddr.parse('2600::1'), 443)).to.equal(false);
    expect(compilePolicy({ ...openNetwork, deny: ['128.0.0.0/1'] }, host).opensDns).to.equal(true);
  });

  it('takes addresses and ranges in their usual notation only', () => {
    const taken = ['1.2.3.4', '0.0.0.0/0', '10.1.2.3/8', '::', '2001:db8::/32', '::ffff:10.0.0.0/104'];
    const refused = [
      '',
      '10.1',
      '0x0a000001',
      '010.0.0.1',
      '1.2.3.4/33',
      '1.2.3.4/08',
      '1.2.3.4/',
      '1.2.3.4/1/2',
      '::/129',
    ];
    expect(taken.filter((text) => !isRange(text))).to.deep.equal([]);
    expect([...refused, 'fe80::1%eth0', 'example.com', '1.2.3.4/-1', '1.2.3.4\0'].filter(isRange)).to.deep.equal([]);
    expect(parseRange('::ffff:10.0.0.0/104')).to.deep.equal(parseRange('10.0.0.0/8'));
  });

  it('knows this host, without the addresses that are each machine’s own', () => {
    const { addresses, nameServers } = readHost();
    expect([...addresses, ...nameServers].filter(({ address }) => address.range() === 'loopback')).to.deep.equal([]);
  });
});

/** Returns the first address of a range, or the one before or after it. */
function beside({ address, bits }: Range, step: number): Address {
  const bytes = address.toByteArray();
  const size = BigInt(bytes.length * 8);
  const whole = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  const free = size - BigInt(bits);
  const moved = BigInt.asUintN(Number(size), ((whole >> free) << free) + BigInt(step));
  return ipaddr.fromByteArray(bytes.map((_, n) => Number((moved >> (size - 8n * BigInt(n + 1))) & 255n)));
}
