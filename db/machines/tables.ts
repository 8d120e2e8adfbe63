import type { Generated } from 'kysely';

/**
 * One row: who this database is to a container engine, and the key that access tokens of machines
 * derive from.
 */
export type InstanceTable = { id: string; token_key: Buffer };

/**
 * The machines behind sandboxes. A row is written before its machine is made and deleted after the
 * machine is gone, so that a crash in between leaves something to clean up by.
 */
export type MachinesTable = {
  sandbox_id: string;
  owner_id: number;
  image: string;
  /** 0 while the machine is being made: then there is no sandbox yet */
  is_ready: Generated<0 | 1>;
  created_at: number;
  /** what the driver was last made to do: a crash may have left the machine in the state before */
  state: Generated<'running' | 'paused' | 'stopped'>;
  /** the name of the driver that made it */
  driver: Generated<string>;
  allows_sudo: Generated<0 | 1>;
  /** the container runtime; null: the engine's default */
  runtime: string | null;
  /** JSON text of `Setup` */
  setup: Generated<string | null>;
};

/**
 * Snapshots that a driver holds. `snapshots.machine_ref` and `template_layers.ref` refer to them;
 * several rows there may share one. A row is deleted before the driver removes the snapshot.
 */
export type MachineSnapshotsTable = {
  ref: string;
  /** the name of the driver that took it */
  driver: string;
  allows_sudo: 0 | 1;
  runtime: string | null;
  /** whether it holds the memory and the processes of the machine */
  has_memory: 0 | 1;
  size_bytes: number;
  created_at: number;
};

/** The images that templates stand for, by name. Administrators choose them. */
export type MachineTemplatesTable = {
  name: string;
  image: string;
  allows_sudo: Generated<0 | 1>;
  /** the container runtime; null: the engine's default */
  runtime: string | null;
  created_at: number;
  /** JSON text of `Setup` */
  setup: Generated<string | null>;
};

/** Code that runs in the background, and its results. */
export type ExecutionsTable = {
  /** in the order in which they began */
  seq: Generated<number>;
  id: string;
  sandbox_id: string;
  created_at: number;
  /** null: it runs */
  ended_at: number | null;
  stdout: Generated<string>;
  stderr: Generated<string>;
  exit_code: number | null;
  run_seconds: number | null;
  cpu_seconds: number | null;
};

/** Ports of sandboxes under names of their own. */
export type SharesTable = { id: string; sandbox_id: string; port: number; is_public: 0 | 1; created_at: number };
