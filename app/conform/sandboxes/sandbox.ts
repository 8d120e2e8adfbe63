import type { JsonObject } from '../../../db/json/json.ts';

/** A sandbox that the suite made. */
export type OwnSandbox = {
  /** `conform_n` in its metadata: its number, from 0, oldest first */
  n: number;
  metadata: JsonObject;
  vmId: string | null;
  sessionId: string | null;
  hasEnded: boolean;
};

/** How the suite makes sandboxes. */
export type MakerOptions = {
  /** `conform_run` in the metadata of each sandbox: a random text that identifies the run */
  run: string;
  apiKey?: string | undefined;
  lifetimeSeconds: number;
  template?: string | undefined;
  /** how long a change may take to show in a list */
  settleSeconds: number;
};
