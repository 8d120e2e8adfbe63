import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { places } from '../machines/engines/world.ts';
import { ensureServer, outside, Sandbox, slowMilliseconds } from './target.ts';

const read = (name: string) => readFileSync(fileURLToPath(new URL(name, import.meta.url)), 'utf8');
const attempts = read('attempts.py');
const hour = { timeoutMs: 3_600_000 };

/** The outer machine's own address. */
const outerAddress = '10.0.2.15';
/** An address of the Internet that no name has. */
const nameless = '20.0.0.9';
const closed = [places.metadata, ...places.private, ...places.privateIpv6, outerAddress];

/**
 * Serves all places in the outer machine, which has none of them at an interface: it is their
 * router.
 */
async function serveWorld(): Promise<void> {
  const ranges = ['20.0.0.0/24', places.metadata, ...places.private];
  const ipv6 = [places.openIpv6, ...places.privateIpv6];
  const world = Buffer.from(read('../machines/engines/world.py')).toString('base64');
  await outside(
    [
      'set -e',
      ...ranges.map((range) => `busybox ip route add local ${range} dev lo`),
      ...ipv6.map((address) => `busybox ip -6 route add local ${address}/128 dev lo`),
      'echo nameserver 127.0.0.1 >/etc/resolv.conf',
      `echo ${world} | base64 -d >/run/world.py`,
      '(tail -f /dev/null | python3 /run/world.py) >/run/world.log 2>&1 &',
      'until grep -q ready /run/world.log; do sleep 0.2; done',
    ].join('\n'),
  );
}

/** Returns how attempts end inside a sandbox, by place. */
async function tryFrom(sandbox: Sandbox, wanted: string[]): Promise<Record<string, string>> {
  await sandbox.files.write('/tmp/attempts.py', attempts);
  const { stdout } = await sandbox.commands.run(`python3 /tmp/attempts.py '${JSON.stringify(wanted)}'`, {
    timeoutMs: slowMilliseconds,
  });
  return JSON.parse(stdout) as Record<string, string>;
}

/** Expects that a sandbox reaches these places, and none of the others. */
async function expectReached(sandbox: Sandbox, open: string[], refused: string[]): Promise<void> {
  const found = await tryFrom(sandbox, [...open, ...refused]);
  const reached = Object.keys(found).filter((place) => found[place] === 'REACHED');
  expect(reached, JSON.stringify(found, null, 1)).to.have.members(open);
}

describe('what a microVM may reach', function () {
  this.timeout(slowMilliseconds * 2);
  let open: Sandbox;
  let named: Sandbox;
  const rules = { denyOut: ['0.0.0.0/0'], allowOut: ['open.test', 'closed.test', '192.168.99.5'] };
  const expectRules = (sandbox: Sandbox) =>
    expectReached(
      sandbox,
      ['open.test', '192.168.99.5'],
      // The name resolves to an address that is closed; the second one has been resolved to no
      // name.
      ['closed.test', nameless, `as:open.test:${nameless}`, 'rebind.test', places.metadata, outerAddress],
    );

  before('make what there is to reach, and see that it answers', async () => {
    await serveWorld();
    await ensureServer();
    const all = [places.open, nameless, places.openIpv6, 'open.test', 'closed.test', ...closed];
    const text = Buffer.from(attempts).toString('base64');
    const answer = await outside(`echo ${text} | base64 -d >/run/a.py; python3 /run/a.py '${JSON.stringify(all)}'`);
    expect(JSON.parse(answer)).to.deep.equal(Object.fromEntries(all.map((place) => [place, 'REACHED'])));
  });

  it('is the Internet, and nothing that is private or the host, by address, name, redirect or translator', async () => {
    open = await Sandbox.create(hour);
    const { stdout } = await open.commands.run('python3 -c "print(open(\'/proc/net/route\').read())"');
    const [, , gateway = ''] =
      stdout
        .split('\n')
        .map((line) => line.split('\t'))
        .find(([, to]) => to === '00000000') ?? [];
    const numbers = Buffer.from(gateway, 'hex').reverse().join('.');
    await expectReached(
      open,
      [places.open, places.openIpv6, 'open.test'],
      [
        ...closed,
        numbers,
        ...['host.microsandbox.internal', '::ffff:10.99.0.5', '64:ff9b::a63:5', '2002:a63:5::1'],
        ...['closed.test', `http://${places.open}/redirect`],
      ],
    );
  });

  it('does not change with the answers of a DNS server', async () => {
    const { 'twice:rebind.test': found } = await tryFrom(open, ['twice:rebind.test']);
    expect(found).to.include(`${places.open} REACHED`).and.not.include('10.99.0.5 REACHED');
    await open.kill();
  });

  it('is, where all is denied, what rules name, and a name only at the addresses that it has', async () => {
    named = await Sandbox.create({ ...hour, network: rules });
    await expectRules(named);
  });

  it('stays the same after a pause, and in forks', async () => {
    await named.pause();
    named = await Sandbox.connect(named.sandboxId, hour);
    const [fork] = await named.fork(hour);
    if (!(fork instanceof Sandbox)) throw new Error('there is no fork', { cause: fork });
    await expectRules(named);
    await expectRules(fork);
    await fork.kill();
  });

  it('is what a create from a snapshot says', async () => {
    const { snapshotId } = await named.createSnapshot();
    await named.kill();
    const same = await Sandbox.create(snapshotId, { ...hour, network: rules });
    await expectRules(same);
    await same.kill();
    const none = await Sandbox.create(snapshotId, { ...hour, allowInternetAccess: false });
    await expectReached(none, [], [places.open, 'open.test', '192.168.99.5', ...closed]);
    await none.kill();
    await Sandbox.deleteSnapshot(snapshotId);
  });
});
