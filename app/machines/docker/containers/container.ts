import { readFileSync } from 'node:fs';
import type { ContainerCreateOptions, HostConfig } from 'dockerode';
import type { MachineSpec } from '../../driver.ts';
import type { Engine } from '../engine/engine.ts';
import { sandboxLabel } from '../labels.ts';
import { programMount, programPath } from '../program.ts';
import type { Shared } from '../shared.ts';

/**
 * What root in a machine may do: the agent switches users and serves files of all of them. Docker's
 * own list has five more, among them raw sockets and device files.
 */
const capabilities = [
  ...['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID'],
  ...['NET_BIND_SERVICE', 'SYS_CHROOT'],
];
/**
 * What the agent needs besides to set network rules, and takes from all commands: so root's can
 * neither change the rules nor look into the agent.
 */
const agentCapabilities = ['NET_ADMIN', 'SETPCAP'];
const mostProcesses = 256;
const mostOpenFiles = 65_536;
/** The kernel's default of `pid_max`. */
const defaultProcessIds = 32_768;

/** Returns the configuration of the container for a machine; `network` names its network. */
export function containerConfig(
  { engine, names, hasRules }: Pick<Shared, 'engine' | 'names' | 'hasRules'>,
  spec: MachineSpec,
  { volume, network, processors }: { volume: string; network: string; processors: number },
): ContainerCreateOptions {
  return {
    name: names.machine(spec.id),
    Image: spec.image,
    Hostname: spec.id.slice(0, 63),
    // A snapshot may hold the name of the machine that it was taken from.
    Env: [`HOSTNAME=${spec.id.slice(0, 63)}`],
    Labels: { ...names.labels, [sandboxLabel]: spec.id },
    Entrypoint: [programPath],
    Cmd: ['serve'],
    // The agent runs commands as the users that callers name.
    User: '0:0',
    WorkingDir: '/',
    StopSignal: 'SIGKILL',
    // An image's own health check would run commands beside those of callers.
    Healthcheck: { Test: ['NONE'] },
    HostConfig: {
      ...isolation(engine, spec, { network, hasRules }),
      ...limits(engine, spec, processors),
      Mounts: [programMount(volume, true)],
    },
  } as ContainerCreateOptions;
}

/** What keeps a machine apart from the host and from other machines. */
function isolation(
  engine: Engine,
  spec: MachineSpec,
  { network, hasRules }: { network: string; hasRules: boolean },
): HostConfig {
  return {
    CapDrop: ['ALL'],
    CapAdd: hasRules ? [...capabilities, ...agentCapabilities] : capabilities,
    // Seccomp stays at the engine's default profile.
    SecurityOpt: spec.allowsSudo ? [] : ['no-new-privileges'],
    Privileged: false,
    NetworkMode: network,
    PublishAllPorts: false,
    // Docker knows no word for a private one, which is its default; Podman's settings may differ.
    PidMode: engine.isPodman ? 'private' : '',
    IpcMode: 'private',
    CgroupnsMode: 'private',
    Devices: [],
    // Without an address in /etc/hosts, sudo complains about its own host.
    ExtraHosts: network !== 'none' ? [] : [`${spec.id.slice(0, 63)}:127.0.0.1`],
    // The agent's socket. Only root may open the folder.
    Tmpfs: { '/run/sandpit': 'rw,nosuid,nodev,noexec,mode=0700,size=64k' },
    // Commands write to the agent; the engine's own log would grow for nothing.
    LogConfig: { Type: 'none', Config: {} },
    RestartPolicy: { Name: 'no' },
    ...(spec.runtime === null ? {} : { Runtime: spec.runtime }),
  } as HostConfig;
}

function limits(engine: Engine, { memoryMb, vcpuCount }: MachineSpec, processors: number): HostConfig {
  const memory = memoryMb * 2 ** 20;
  return {
    Memory: memory,
    // Memory and swap together: no swap.
    MemorySwap: memory,
    // Engines refuse more processors than there are, though a higher limit would change nothing.
    NanoCpus: Math.min(vcpuCount, processors) * 1e9,
    PidsLimit: mostProcesses,
    Ulimits: ulimits(engine),
  };
}

/**
 * Returns limits that the engine may set. An engine without CAP_SYS_RESOURCE can't exceed its own
 * hard limits, and Podman's defaults do. On this machine the engine's limits are taken to be ours.
 * `nproc` counts the processes of a user in all machines together, so it is as high as processes
 * can be: `PidsLimit` bounds each machine.
 */
function ulimits(engine: Engine): { Name: string; Soft: number; Hard: number }[] {
  const files = engine.isLocal ? Math.min(mostOpenFiles, hardLimit('Max open files')) : mostOpenFiles;
  const processes = engine.isLocal ? Math.min(mostProcessIds(), hardLimit('Max processes')) : defaultProcessIds;
  return [
    { Name: 'nofile', Soft: files, Hard: files },
    { Name: 'nproc', Soft: processes, Hard: processes },
  ];
}

/** Returns how many processes this machine's kernel can have (proc_sys_kernel(5), `pid_max`). */
function mostProcessIds(): number {
  return Number(readFileSync('/proc/sys/kernel/pid_max', 'utf8')) || defaultProcessIds;
}

/**
 * Returns a hard limit of this process (proc(5), `/proc/pid/limits`); infinity if there is none.
 */
function hardLimit(name: string): number {
  const line = readFileSync('/proc/self/limits', 'utf8')
    .split('\n')
    .find((each) => each.startsWith(name));
  const [, , hard = ''] = /\s{2,}(\S+)\s+(\S+)/.exec(line ?? '') ?? [];
  return /^\d+$/.test(hard) ? Number(hard) : Number.POSITIVE_INFINITY;
}
