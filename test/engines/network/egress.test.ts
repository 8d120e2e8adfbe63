import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { Agent } from '../../../app/machines/agent/agent.ts';
import type { Driver } from '../../../app/machines/driver.ts';
import { enforce } from '../../../app/machines/network/enforce.ts';
import { type EgressRules, openNetwork } from '../../../app/machines/network/rules.ts';
import { describeOnEngines } from '../../machines/engines/engines.ts';
import { inside, places, startWorld, type World } from '../../machines/engines/world.ts';
import { driverOf, runProgram, soon, specOf, startMachine } from '../machine.ts';

const script = (name: string) => readFileSync(fileURLToPath(new URL(name, import.meta.url)), 'utf8');
const [probe, takeover] = [script('probe.py'), script('takeover.py')];
const python = '/usr/bin/python3';

/** Ways to send past a check of addresses, of which each works where nothing is closed. */
const ways = ['bound to the device', 'by the interface', 'datagram', 'datagram of the interface'];
const refused = /^(OSError|PermissionError|URLError|TimeoutError): /;

describeOnEngines('what a machine may reach', (engine) => {
  let world: World;
  let driver: Driver;
  let agent: Agent;
  let host: string;
  before(async () => {
    world = await startWorld(engine());
    driver = driverOf(engine());
    agent = await startMachine(driver, specOf('one', engine(), { network: openNetwork, allowsSudo: true }));
    host = /via (\S+)/.exec(inside(await namespaceOf('one'), 'ip route show default'))?.[1] as string;
  });
  after(async () => {
    for (const { id } of await driver.list()) await driver.remove(id);
    await driver.close();
    await world.stop();
  });
  beforeEach(() => allow({}));

  const allow = (rules: Partial<EgressRules>) => enforce(agent, { ...openNetwork, ...rules }, soon());
  const reach = async (address: string, way = 'plain', user = '', port = 80) =>
    (await runProgram(agent, [python, '-c', probe, way, address, String(port)], user)).output.trim();

  /** Returns the file of a machine's network namespace. */
  async function namespaceOf(id: string): Promise<string> {
    const [found] = (await engine().ask(
      'GET',
      `/containers/json?filters=${encodeURIComponent(JSON.stringify({ label: [`dev.sandpit.sandbox=${id}`] }))}`,
    )) as { Id: string }[];
    const { State } = (await engine().ask('GET', `/containers/${found?.Id}/json`)) as { State: { Pid: number } };
    return `/proc/${State.Pid}/ns/net`;
  }

  it('is the Internet, in every way that is tried elsewhere', async () => {
    for (const way of ['plain', ...ways]) expect(await reach(places.open, way), way).to.equal('REACHED');
  });

  it('is no private address, not the host, and not what serves credentials, in any way', async () => {
    for (const address of [places.metadata, ...places.private, '192.168.200.1', host]) {
      for (const way of ['plain', ...ways])
        for (const user of ['', 'root']) expect(await reach(address, way, user), `${address} ${way}`).to.match(refused);
    }
    for (const way of ['bound to loopback', 'without routes', 'by a source route', 'with a mark', 'another namespace'])
      expect(await reach(places.metadata, way, 'root'), way).to.match(refused);
    for (const address of ['255.255.255.255', '224.0.0.1', '172.31.255.255'])
      for (const way of ['datagram', 'datagram of the interface'])
        expect(await reach(address, way), address).to.match(/^(PermissionError|OSError): /);
  });

  it('is no other machine', async () => {
    const other = await startMachine(driver, specOf('two', engine(), { network: openNetwork }));
    void runProgram(other, [python, '-m', 'http.server', '80', '--directory', '/tmp'], 'root').catch(() => {});
    const [, address = ''] = / ([\d.]+)\/\d+ /.exec(inside(await namespaceOf('two'), 'ip -o -4 addr show eth0')) ?? [];
    expect(address).to.match(/^\d/);
    for (const way of ['plain', ...ways.slice(0, 2)]) expect(await reach(address, way), way).to.match(refused);
    other.close();
  });

  it('is not what a name, a second lookup or a redirect leads to, if that is closed', async () => {
    await allow({ dnsServers: [places.dns] });
    expect(await reach('open.test', 'name')).to.equal('REACHED');
    expect(await reach('closed.test', 'name')).to.match(refused);
    expect(await reach('rebind.test', 'second lookup')).to.match(refused);
    expect(await reach(places.open, 'redirect')).to.match(refused);
    expect(await reach(places.dns, 'plain')).to.match(refused);
  });

  it('is IPv6’s Internet, and none of its private addresses', async () => {
    const namespace = await namespaceOf('one');
    const [, bridge = ''] =
      new RegExp(`^\\d+: (\\S+) .*${host}/`, 'm').exec(inside(engine().network, 'ip -o -4 addr')) ?? [];
    inside(namespace, 'sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0');
    inside(namespace, 'ip -6 addr add fd00:5::2/64 dev eth0 nodad');
    inside(engine().network, `sysctl -qw net.ipv6.conf.${bridge}.disable_ipv6=0`);
    inside(engine().network, `ip -6 addr add fd00:5::1/64 dev ${bridge} nodad; ip6tables -I FORWARD -j ACCEPT || :`);
    inside(namespace, 'ip -6 route add default via fd00:5::1');
    const [, local = ''] = /inet6 (fe80\S+)\//.exec(inside(engine().network, `ip -6 addr show ${bridge}`)) ?? [];
    await allow({});
    expect(await reach(places.openIpv6)).to.equal('REACHED');
    const closed = [
      ...places.privateIpv6,
      'fd00:5::1',
      `${local}%eth0`,
      '::ffff:10.99.0.5',
      '64:ff9b::a63:5',
      'ff02::1%eth0',
    ];
    for (const address of closed) expect(await reach(address), address).to.match(refused);
    // The kernel’s error does not find such a socket, so that it waits in vain.
    expect(await reach('fd00:5::1', 'bound to the device')).to.match(/^TimeoutError: /);
    await allow({ deny: ['0.0.0.0/0'] });
    expect(await reach(places.openIpv6)).to.match(refused);
  });

  it('is what its rules allow: allowOut before denyOut before the rest', async () => {
    await allow({ deny: ['20.0.0.0/8'] });
    expect(await reach(places.open)).to.match(refused);
    await allow({ deny: ['0.0.0.0/0'], allow: ['20.0.0.0/24'] });
    expect(await reach(places.open)).to.equal('REACHED');
    await allow({ internet: false, allow: ['10.99.0.0/16'] });
    expect([await reach('10.99.0.5'), await reach(places.metadata)]).to.satisfy(
      ([open, closed]: string[]) => open === 'REACHED' && refused.test(closed ?? ''),
    );
    expect(await reach(places.open)).to.match(refused);
    await allow({ allow: ['0.0.0.0/0'] });
    expect(await reach('10.99.0.5')).to.match(refused);
    expect(await reach('127.0.0.1', 'plain', '', 1)).to.match(/^ConnectionRefusedError/);
  });

  it('is no DNS server if everything is denied: not the engine’s either', async () => {
    await allow({ internet: false });
    const lookup = "import socket; socket.getaddrinfo('example.com', 80)";
    expect((await runProgram(agent, [python, '-c', lookup])).exitCode).to.equal(1);
    const server = /nameserver (\S+)/.exec((await runProgram(agent, ['/bin/cat', '/etc/resolv.conf'])).output)?.[1];
    expect(await reach(server as string, 'plain', 'root', 53)).to.match(refused);
    await allow({ internet: false, dnsServers: [places.dns] });
    expect(await reach('open.test', 'name')).to.match(refused);
    expect(await reach(places.dns, 'plain', '', 53)).not.to.match(/No route/);
  });

  it('is the root user’s to change as little as the agent is', async () => {
    for (const command of [[python], ['/usr/bin/sudo', '-n', python]]) {
      const user = command.length === 1 ? 'root' : '';
      const { output, exitCode } = await runProgram(agent, [...command, '-c', takeover], user);
      // Without a capability for it, sudo complains that it can't write to the audit log.
      expect([output.replace(/^sudo: .*\n/gm, ''), exitCode], command[0]).to.deep.equal(['', 0]);
    }
    expect(await reach(places.metadata)).to.match(refused);
    expect(await reach(places.open)).to.equal('REACHED');
  });
});
