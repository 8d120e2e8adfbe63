import type Docker from 'dockerode';
import type { Container, ContainerCreateOptions } from 'dockerode';
import type { EngineEnvironment } from '../../../config/engine-environment.ts';
import type { EngineInfo } from '../../driver.ts';
import { MachineError } from '../../error.ts';
import { clientOptions, isLocal } from './address.ts';
import { engineWords, machineError } from './failures.ts';

/** Milliseconds that calls of an engine may take. */
export const deadlines = {
  /** the first call of an engine at an address that is one of several */
  probe: 1000,
  /** the first call of an engine at the only address */
  connect: 10_000,
  /** what only reads */
  read: 10_000,
  /** what starts or ends a machine: dozens may be under way */
  change: 60_000,
  /** what copies the changed files of a machine: Podman took 13 s for 300 MB */
  commit: 120_000,
};

/** The oldest API that has everything we use: `one-shot` came with it. */
const oldestApi = 1.41;
/** The newest API that we know; engines speak older ones too. */
const newestApi = 1.47;

const connectionWords: Record<string, string> = {
  ENOENT: 'there is no such socket',
  ECONNREFUSED: 'nothing listens there',
  EACCES: 'this user may not open it',
  EPERM: 'this user may not open it',
};

type Version = {
  Version: string;
  ApiVersion: string;
  MinAPIVersion?: string;
  Arch: string;
  Components?: { Name: string }[];
};

/** A container engine that answered. */
export class Engine {
  readonly docker: Docker;
  readonly info: EngineInfo;
  readonly isPodman: boolean;
  readonly architecture: string;
  readonly isLocal: boolean;

  private constructor(docker: Docker, address: string, version: Version) {
    this.isPodman = version.Components?.some(({ Name }) => Name === 'Podman Engine') ?? false;
    this.docker = docker;
    this.info = { name: this.isPodman ? 'Podman' : 'Docker', version: version.Version, address };
    this.architecture = version.Arch;
    this.isLocal = isLocal(address);
  }

  /**
   * Connects to an engine and agrees on an API version, within a second. Rejects with MachineError.
   */
  static async open(address: string, env: EngineEnvironment, milliseconds: number): Promise<Engine> {
    const options = clientOptions(address, env);
    // Loaded here because it is large, and of no use to those who run no machines.
    const { default: Client } = await import('dockerode');
    const docker = new Client(options);
    const version = await askVersion(docker, milliseconds);
    const modem = docker.modem as { version?: string };
    modem.version = `v${agreeOn(version)}`;
    return new Engine(docker, address, version);
  }
}

/** What an engine says about itself and its host (Docker's API, "Get system information"). */
export type EngineDescription = {
  NCPU: number;
  MemTotal?: number;
  CgroupVersion?: string;
  CgroupDriver?: string;
  MemoryLimit?: boolean;
  PidsLimit?: boolean;
  SwapLimit?: boolean;
  CpuCfsQuota?: boolean;
  LiveRestoreEnabled?: boolean;
  SecurityOptions?: string[];
  Runtimes?: Record<string, unknown>;
};

/** Asks an engine about itself. Rejects with MachineError. */
export async function describeEngine({ docker }: Engine): Promise<EngineDescription> {
  return callEngine('describe itself', deadlines.read, (abortSignal) => {
    const asked: unknown = docker.info({ abortSignal } as never);
    return asked as Promise<EngineDescription>;
  });
}

/** Creates a container. dockerode would put the whole configuration into the address, too. */
export function requestContainer(
  { docker }: Engine,
  { name, ...config }: ContainerCreateOptions,
  abortSignal: AbortSignal,
): Promise<Container> {
  return docker.createContainer({ _query: { name }, _body: config, abortSignal } as ContainerCreateOptions);
}

async function askVersion(docker: Docker, milliseconds: number): Promise<Version> {
  const ask = (signal: AbortSignal) => docker.version({ abortSignal: signal } as never) as unknown as Promise<Version>;
  try {
    return await withDeadline(milliseconds, ask);
  } catch (error) {
    if (error instanceof MachineError)
      throw new MachineError('unavailable', `it did not answer within ${milliseconds / 1000} s`);
    const words = connectionWords[(error as NodeJS.ErrnoException).code ?? ''] ?? engineWords(error);
    throw new MachineError('unavailable', words, { cause: error });
  }
}

/** Returns the API version to speak. Throws MachineError `unsupported` if there is none. */
function agreeOn({ ApiVersion, MinAPIVersion, Version }: Version): string {
  const [newest, oldest] = [minor(ApiVersion), minor(MinAPIVersion ?? '1.0')];
  if (!(newest >= minor(String(oldestApi))))
    throw new MachineError(
      'unsupported',
      `version ${Version} is too old: its API is ${ApiVersion}, and ${oldestApi} is needed`,
    );
  return `1.${Math.max(Math.min(newest, minor(String(newestApi))), oldest)}`;
}

function minor(version: string): number {
  return Number(version.split('.')[1]);
}

/**
 * Calls the engine with a deadline in milliseconds, and maps failures to MachineError; `doing` says
 * what the call is for, as in `start the machine`. A signal ends the call early.
 */
export async function callEngine<T>(
  doing: string,
  milliseconds: number,
  call: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  try {
    return await withDeadline(milliseconds, call, signal);
  } catch (error) {
    throw machineError(error, doing);
  }
}

/** Rejects with MachineError `timeout` at the deadline, also if the call ignores its signal. */
async function withDeadline<T>(
  milliseconds: number,
  call: (signal: AbortSignal) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const ending = new AbortController();
  const late = new MachineError('timeout', `the container engine did not answer within ${milliseconds / 1000} s`);
  return new Promise<T>((resolve, reject) => {
    const stop = (error: MachineError) => {
      reject(error);
      ending.abort(error);
    };
    const timer = setTimeout(() => stop(late), milliseconds);
    const abandon = () => stop(new MachineError('timeout', 'the call was given up', { cause: signal?.reason }));
    if (signal?.aborted) abandon();
    signal?.addEventListener('abort', abandon, { once: true });
    call(ending.signal)
      .then(resolve, reject)
      .finally(() => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abandon);
      });
  });
}
