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
};

/** The images that templates stand for, by name. Administrators choose them. */
export type MachineTemplatesTable = {
  name: string;
  image: string;
  allows_sudo: Generated<0 | 1>;
  /** the container runtime; null: the engine's default */
  runtime: string | null;
  created_at: number;
};
