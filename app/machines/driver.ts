import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import type { MachineError } from './error.ts';
import type { EgressRules } from './network/rules.ts';

/** What a driver is made from. */
export type DriverOptions = {
  /** who this database is to the engine: 16 hexadecimal digits */
  instance: string;
  /** the engine's address, if the settings name one */
  engine: string | undefined;
  /** the program that runs microVMs, if the settings name one */
  msb?: string | undefined;
  /** false: machines have no network rules, for runtimes that can't set them */
  networkRules?: boolean | undefined;
  /** the database file, or `:memory:` */
  db: string;
  log: Logger;
  /**
   * whether a server may use the same machines at the same time: then listing them changes nothing
   */
  isGuest?: boolean;
};

/** What a driver starts a machine from. */
export type MachineSpec = {
  /** the id of the sandbox; a driver has at most one machine with it */
  id: string;
  /** an image that the engine has, or the reference of a snapshot: drivers never pull here */
  image: string;
  /** whether `image` is the reference of a snapshot that this driver took */
  isSnapshot: boolean;
  vcpuCount: number;
  memoryMb: number;
  /** A driver without the feature `egress` is only asked for `internet`: the network or none. */
  network: EgressRules;
  /** whether programs may gain privileges, which `sudo` needs */
  allowsSudo: boolean;
  /** the container runtime, e.g. `runsc` for gVisor; null: the engine's default */
  runtime: string | null;
};

/**
 * What some drivers can do and others can't. `pause` includes `stop`, `snapshot` includes `fork`.
 * `egress`: rules for what machines may reach; `domains`: also by name.
 */
export type Feature = 'pause' | 'snapshot' | 'egress' | 'domains';

/** What `probe` learns about the engine behind a driver. */
export type EngineInfo = { name: string; version: string; address: string };

/** `paused`: frozen, with its memory. `stopped`: its files are kept, its processes are gone. */
export type MachineState = 'running' | 'paused' | 'stopped';

/** A machine that exists, whether or not a sandbox still needs it. */
export type FoundMachine = { id: string; state: MachineState };

/** A snapshot that was just taken. `ref` is what `create` takes as `image`. */
export type TakenSnapshot = { ref: string; sizeBytes: number };

/**
 * A snapshot that exists. `isUsed`: a machine was made from it, so that it can't be removed yet.
 */
export type FoundSnapshot = { ref: string; isUsed: boolean };

/** A machine that stopped without being told to: by itself, or by a program beside Sandpit. */
export type Death = { id: string; reason: 'exited' | 'out_of_memory' };

/** What a machine has used. `cpuSeconds` counts from its start. */
export type Usage = { cpuSeconds: number; memoryBytes: number; cacheBytes: number };

export type ImageInfo = {
  /** the engine's id of the image's content */
  id: string;
  sizeBytes: number;
};

/** Receives in words for a user how far a pull is, e.g. `3 of 7 layers, 45 MB of 120 MB`. */
export type PullProgress = (words: string) => void;

/**
 * Runs machines. The rest of Sandpit knows engines through this interface only.
 *
 * Every call to an engine has a deadline of the driver's. All methods but `close` reject with
 * MachineError; machines of other Sandpits on the same engine are invisible and untouched.
 */
export type Driver = {
  readonly name: 'docker' | 'microvm' | 'process';
  /** Fixed once `probe` has answered: a runtime of an older version may lack some. */
  readonly features: ReadonlySet<Feature>;
  /** whether snapshots and forks hold the memory and the processes of a machine */
  readonly keepsMemory: boolean;
  /** Asks the engine who it is, within some seconds. Rejects with `unavailable`. */
  probe(): Promise<EngineInfo>;
  /**
   * Creates and starts a machine; its agent may still be starting. Leaves nothing behind on
   * failure: `unavailable`, `full`, `no_image`, `timeout`, `unsupported` or `failed`.
   */
  create(spec: MachineSpec, signal: AbortSignal): Promise<void>;
  /**
   * Opens a connection to a machine's agent, which speaks the protocol of `agent/PROTOCOL.md`.
   * Waits for an agent that is still starting, until the signal. Rejects with `gone` when there is
   * no such machine or it has stopped.
   */
  channel(id: string, signal: AbortSignal): Promise<Duplex>;
  /** Ends a machine with everything in it. A machine that does not exist is no error. */
  remove(id: string): Promise<void>;
  list(): Promise<FoundMachine[]>;
  /**
   * Freezes a machine with its memory, which stays used. A paused one is no error. Rejects with
   * `gone` when there is no such machine or it is stopped.
   */
  pause(id: string): Promise<void>;
  /** Ends a machine's processes and keeps its files. A stopped one is no error. */
  stop(id: string): Promise<void>;
  /**
   * Lets a paused machine go on, or starts a stopped one, whose agent may still be starting. A
   * running one is no error. Rejects with `gone` when there is no such machine.
   */
  resume(id: string, signal: AbortSignal): Promise<void>;
  /**
   * Keeps what a running machine is now, as a snapshot with this name: letters, digits and hyphens.
   * The machine goes on. Leaves nothing behind on failure. One at a time for each machine.
   */
  snapshot(id: string, name: string, signal: AbortSignal): Promise<TakenSnapshot>;
  /**
   * Starts copies of a running machine, all from one moment; `image` of each spec is ignored. The
   * answer has for each, in order, null, or why it could not be started. Rejects when none could.
   */
  fork(id: string, specs: MachineSpec[], signal: AbortSignal): Promise<(MachineError | null)[]>;
  /** Returns the snapshots of this Sandpit, also what is left of forks and of interrupted ones. */
  snapshots(): Promise<FoundSnapshot[]>;
  /**
   * Removes a snapshot. A missing one is no error. Rejects with `failed` while a machine uses it.
   */
  removeSnapshot(ref: string): Promise<void>;
  /**
   * Changes what a machine may reach, also one that is paused or stopped. The same rules again are
   * no error. Rejects with `gone` when there is no such machine, and with `unsupported` where rules
   * are fixed when a machine is made. A driver with `egress` and without this leaves the rules to
   * the agent, which gets them with each new connection.
   */
  restrict?(id: string, rules: EgressRules): Promise<void>;
  /**
   * Changes how much memory a machine may use, in MiB, also of one that is paused or stopped.
   * Rejects with `gone` when there is no such machine, and `failed` for less than it uses. Drivers
   * without this fix it when a machine is made.
   */
  resize?(id: string, memoryMb: number): Promise<void>;
  /** Yields machines that die, until the signal. Rejects when the engine's events can't be read. */
  deaths(signal: AbortSignal): AsyncIterable<Death>;
  usage(id: string): Promise<Usage>;
  /** Returns an image that the engine has, or null. */
  image(reference: string): Promise<ImageInfo | null>;
  /** Fetches an image. Rejects with `no_image` when no registry has it. */
  pull(reference: string, onProgress: PullProgress, signal: AbortSignal): Promise<void>;
  /** Gives up connections. Machines run on. */
  close(): Promise<void>;
};
