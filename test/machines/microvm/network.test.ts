import { expect } from 'chai';
import type { Driver } from '../../../app/machines/driver.ts';
import { networkArguments } from '../../../app/machines/microvm/network.ts';
import { parseRange } from '../../../app/machines/network/range.ts';
import { type EgressRules, noInternet, openNetwork } from '../../../app/machines/network/rules.ts';
import { temporaryDirectory } from '../../helpers/server.ts';
import { machineSpec } from '../process/machine.ts';
import { FakeMsb } from './fake-msb.ts';
import { failure, instance, openDriver, soon } from './setup.ts';

const host = { addresses: ['203.0.114.7', '2600:1::7'].map(parseRange), nameServers: [parseRange('10.0.0.53')] };
const snapshot = { isSnapshot: true, image: `sandpit-snapshot-${instance}-s1:s` };

/**
 * Returns msb's rules for a sandbox's, in order. The first that matches decides, else it is closed.
 */
function rulesFor(changes: Partial<EgressRules>): string[] {
  const [flag, action, rule, list = '', ...rest] = networkArguments({ ...openNetwork, ...changes }, host);
  expect([flag, action, rule, rest]).to.deep.equal(['--net-default', 'deny', '--net-rule', []]);
  return list.split(',');
}

describe('the network rules of microVMs', () => {
  let directory: string;
  let msb: FakeMsb;
  let driver: Driver;

  beforeEach(() => {
    directory = temporaryDirectory();
    msb = new FakeMsb(directory);
    driver = openDriver(directory, msb);
  });
  afterEach(() => driver.close());

  const create = (id: string, network: Partial<EgressRules>, changes = {}) =>
    driver.create(machineSpec(id, { network: { ...openNetwork, ...network }, ...changes }), soon());

  it('close what is private, the host and its gateway, and open the rest', () => {
    const rules = rulesFor({});
    expect([rules.at(0), rules.at(-1)]).to.deep.equal(['allow@dns', 'allow@public']);
    const between = rules.slice(1, -1);
    expect(between.filter((rule) => !rule.startsWith('deny@'))).to.deep.equal([]);
    expect(between).to.include.members([
      ...['deny@host:tcp:1-52', 'deny@host:tcp:54-65535', 'deny@host:udp:1-52', 'deny@host:udp:54-65535'],
      ...['deny@10.0.0.0/8', 'deny@172.16.0.0/12', 'deny@169.254.0.0/16', 'deny@168.63.129.16/32'],
      ...['deny@203.0.114.7/32', 'deny@[2600:1::7/128]', 'deny@[2002::/16]', 'deny@[8000::/1]'],
    ]);
  });

  it('open private addresses only where they are named, the gateway never, and close what denyOut names', () => {
    const rules = rulesFor({ allow: ['10.1.0.0/16', '8.8.8.8', 'fd00::1'], deny: ['8.0.0.0/8', '2600::/16'] });
    const order = (...expected: string[]) => {
      const places = expected.map((rule) => rules.indexOf(rule));
      expect(places, expected.join(' ')).to.deep.equal(places.toSorted((a, b) => a - b));
      expect(places).to.not.include(-1);
    };
    order('deny@host:tcp:54-65535', 'allow@10.1.0.0/16', 'deny@10.0.0.0/8', 'allow@8.8.8.8/32', 'deny@8.0.0.0/8');
    order('allow@[fd00::1/128]', 'deny@[8000::/1]', 'deny@[2600::/16]', 'allow@public');
  });

  it('open nothing but what is named where everything is denied, and resolve only the named domains', () => {
    expect(networkArguments(noInternet, host)).to.deep.equal(['--no-net']);
    expect(networkArguments({ ...openNetwork, deny: ['0.0.0.0/1', '128.0.0.0/1'] }, host)).to.deep.equal(['--no-net']);
    const opened = (changes: Partial<EgressRules>) =>
      rulesFor({ deny: ['0.0.0.0/0'], ...changes }).filter((rule) => rule.startsWith('allow@'));
    expect(opened({ allow: ['8.8.8.0/24'] })).to.deep.equal(['allow@8.8.8.0/24']);
    expect(opened({ dnsServers: ['10.0.0.53'] })).to.deep.equal(['allow@dns']);
    const domains = ['example.com', '*.example.org', 'registry'];
    const named = ['allow@domain=example.com', 'allow@suffix=example.org', 'allow@domain=registry'];
    expect(opened({ domains })).to.deep.equal(named);
    expect(opened({ domains, dnsServers: ['10.0.0.53'] })).to.deep.equal(named);
    const rules = rulesFor({ internet: false, domains });
    // After all that is closed: a name never opens a closed address.
    expect(rules.slice(-3)).to.deep.equal(named);
    expect(rules).to.include('deny@203.0.114.7/32');
  });

  it('are given to msb when a machine is made, also from a snapshot', async () => {
    await create('one', { allow: ['10.1.2.3'], dnsServers: ['10.0.0.53', '10.0.0.54'] });
    const [made] = msb.callsOf('create');
    expect(made).to.match(/ --net-default deny --net-rule allow@dns,\S*,allow@10\.1\.2\.3\/32,deny@\S*,allow@public /);
    expect(made).to.include(' --dns-nameserver 10.0.0.53 --dns-nameserver 10.0.0.54 ');
    await create('two', { deny: ['0.0.0.0/0'], domains: ['example.com'] }, snapshot);
    expect(msb.callsOf('restore')[0]).to.match(
      / --net-default deny --net-rule deny@host\S*,allow@domain=example\.com /,
    );
    await create('three', noInternet, snapshot);
    expect(msb.callsOf('restore')[1]).to.include(' --no-net ');
  });

  it('are refused in words where msb has none for them', async () => {
    const wide = create('one', { deny: ['0.0.0.0/0'], domains: ['*.com'] });
    expect(await failure(wide)).to.match(/^unsupported .*\*\.com is too wide/);
    const servers = create('one', { dnsServers: ['10.0.0.53'] }, snapshot);
    expect(await failure(servers)).to.match(/^unsupported network\.dnsServers is not offered .* snapshot/);
    expect(msb.calls).to.deep.equal([]);
  });

  it('stay what they are: the same again are no error, others are refused', async () => {
    const rules = { ...openNetwork, deny: ['8.0.0.0/8'] };
    await create('one', rules);
    await driver.restrict?.('one', { ...rules });
    expect(await failure(driver.restrict?.('one', noInternet) as Promise<void>)).to.match(
      /^unsupported A microVM keeps the network rules/,
    );
    expect(await failure(driver.restrict?.('two', rules) as Promise<void>)).to.match(/^gone /);
  });
});
