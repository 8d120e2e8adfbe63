import type { JsonObject } from '../../../db/json/json.ts';

/** A sandbox that the suite made. */
export type OwnSandbox = {
  /** Its number, from 0, oldest first: `conform_n` in its metadata. */
  n: number;
  metadata: JsonObject;
  vmId: string | null;
  sessionId: string | null;
  hasEnded: boolean;
};

/** How the suite makes sandboxes. */
export type MakerOptions = {
  /** Random id of the run: `conform_run` in the metadata of each sandbox. */
  run: string;
  apiKey?: string | undefined;
  lifetimeSeconds: number;
  template?: string | undefined;
  /** How long a change may take to show in a list. */
  settleSeconds: number;
  /** The largest `limit` of a list. */
  maxLimit: number;
};
