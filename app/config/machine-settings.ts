import { duration, integer, oneOf, text } from './readers.ts';
import type { Setting } from './setting.ts';

export type MachineConfig = {
  machines: 'auto' | 'microvm' | 'docker' | 'none' | 'process';
  msb: string | undefined;
  engine: string | undefined;
  image: string;
  /** Milliseconds. */
  pausedMemory: number | undefined;
  templateFilesMb: number;
  templateImages: 'any' | 'templates';
  networkRules: 'on' | 'off';
};

/** The settings of machines. */
export const machineSettings: { [K in keyof MachineConfig]: Setting<MachineConfig[K]> } = {
  machines: {
    variable: 'SANDPIT_MACHINES',
    flag: 'machines',
    argument: 'driver',
    help: 'what runs behind sandboxes: auto (microVMs where they work, else containers, else none), microvm, docker (containers, also of Podman), none (records only), or process (for tests: commands run on this machine, not isolated)',
    fallback: 'auto',
    read: oneOf('auto', 'microvm', 'docker', 'none', 'process'),
  },
  msb: {
    variable: 'SANDPIT_MSB',
    flag: 'msb',
    argument: 'file',
    help: "microsandbox's program msb, which runs microVMs (default: the one in PATH, then npm's package)",
    fallback: undefined,
    read: text,
  },
  engine: {
    variable: 'SANDPIT_ENGINE',
    flag: 'engine',
    argument: 'address',
    help: 'container engine, e.g. unix:///run/podman/podman.sock (default: DOCKER_HOST, then the usual sockets)',
    fallback: undefined,
    read: text,
  },
  image: {
    variable: 'SANDPIT_IMAGE',
    flag: 'image',
    argument: 'reference',
    help: 'container image of the template base',
    fallback: 'docker.io/library/python:3.12',
    read: text,
  },
  pausedMemory: {
    variable: 'SANDPIT_PAUSED_MEMORY',
    flag: 'paused-memory',
    argument: 'duration',
    help: 'how long a paused machine keeps its memory, e.g. 30m or 12h; then its processes end and its files stay (default: 1d)',
    fallback: undefined,
    read: duration,
  },
  templateImages: {
    variable: 'SANDPIT_TEMPLATE_IMAGES',
    flag: 'template-images',
    argument: 'which',
    help: "images that users may build templates from: any (the engine's, and it pulls others from public registries), or templates (those that sandpit templates lists)",
    fallback: 'any',
    read: oneOf('any', 'templates'),
  },
  templateFilesMb: {
    variable: 'SANDPIT_TEMPLATE_FILES_MB',
    flag: 'template-files-mb',
    argument: 'number',
    help: 'disk that the files of a user may take which template builds copy; one file may take a quarter of it',
    fallback: 4096,
    read: integer(4, 1_000_000_000),
  },
  networkRules: {
    variable: 'SANDPIT_NETWORK_RULES',
    flag: 'network-rules',
    argument: 'on|off',
    help: 'off: containers have no network rules and can reach private addresses, for runtimes whose kernel has none, such as gVisor (default: on)',
    fallback: 'on',
    read: oneOf('on', 'off'),
  },
};
