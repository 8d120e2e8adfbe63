import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestEngine } from './engines.ts';

/** What there is to reach, in namespaces of its own: nothing of it is outside. */
export const places = {
  /** on the Internet */
  open: '20.0.0.1',
  openIpv6: '2600::1',
  /** behind the engine's host, as if it were in the network of an office or a cloud */
  private: ['10.99.0.5', '172.31.9.9', '192.168.99.5', '100.64.9.9', '198.18.0.5'],
  metadata: '169.254.169.254',
  privateIpv6: ['fd00:99::5', 'fd00:ec2::254'],
  /** serves names as the DNS server of a private network */
  dns: '192.168.200.2',
};

const program = fileURLToPath(new URL('world.py', import.meta.url));

/** The network around an engine, and its host's own services. */
export type World = { stop: () => Promise<void> };

/** Connects the namespace of an engine with one in which all places are, and serves both. */
export async function startWorld({ network }: Pick<TestEngine, 'network'>): Promise<World> {
  const folder = mkdtempSync(join(tmpdir(), 'sandpit-world-'));
  const world = join(folder, 'network');
  closeSync(openSync(world, 'w'));
  execFileSync('unshare', [`--net=${world}`, 'ip', 'link', 'set', 'lo', 'up']);
  const serving: ChildProcess[] = [];
  const stop = async () => {
    for (const child of serving) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    execFileSync('umount', ['--lazy', world]);
    rmSync(folder, { recursive: true });
  };
  inside(network, `ip link add outside type veth peer name inside netns ${world}`);
  inside(world, worldCommands());
  inside(network, hostCommands);
  for (const namespace of [network, world]) serving.push(await serve(namespace));
  return { stop };
}

const hostCommands = [
  'ip addr add 192.168.200.1/24 dev outside',
  'ip -6 addr add fd00:200::1/64 dev outside nodad',
  'ip link set outside up',
  'ip route add default via 192.168.200.2',
  'ip -6 route add default via fd00:200::2',
  'sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1',
].join(' && ');

function worldCommands(): string {
  const ipv4 = [places.open, places.metadata, ...places.private];
  const ipv6 = [places.openIpv6, ...places.privateIpv6];
  return [
    'ip addr add 192.168.200.2/24 dev inside',
    'ip -6 addr add fd00:200::2/64 dev inside nodad',
    ...ipv4.map((address) => `ip addr add ${address}/32 dev lo`),
    ...ipv6.map((address) => `ip -6 addr add ${address}/128 dev lo nodad`),
    'ip link set inside up',
    'ip route add default via 192.168.200.1',
    'ip -6 route add default via fd00:200::1',
  ].join(' && ');
}

/** Runs a command in a network namespace. Returns what it prints. */
export function inside(namespace: string, command: string): string {
  return execFileSync('nsenter', [`--net=${namespace}`, 'sh', '-ec', command], { encoding: 'utf8' });
}

async function serve(namespace: string): Promise<ChildProcess> {
  const child = spawn('nsenter', [`--net=${namespace}`, '/usr/bin/python3', program], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}
