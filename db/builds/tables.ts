import type { Generated } from 'kysely';

export type BuildStatus = 'waiting' | 'building' | 'ready' | 'error';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Builds of templates from code, in the order in which they were asked for. */
export type TemplateBuildsTable = {
  seq: Generated<number>;
  /** a UUID, which a ready build's snapshot has as its `build_id` */
  id: string;
  owner_id: number;
  /** the id of the snapshot that the build makes or replaces */
  template_id: string;
  /** the name of that snapshot, in the stored form of E2B's references */
  name: string;
  /** JSON text of an array: the tags that it gets, the one in `name` first */
  tags: string;
  /** the type of a snapshot that InstaVM's clients build; null: a template of E2B's clients */
  snapshot_type: 'user' | 'system' | null;
  vcpu_count: number;
  memory_mb: number;
  /** `waiting` until the client has uploaded the files and said what to build */
  status: BuildStatus;
  /** JSON text of `BuildSpec`; null while it waits, and once it has ended */
  spec: string | null;
  /** why it failed, and at which step */
  reason: string | null;
  failed_step: string | null;
  /** how much log there is */
  log_entries: Generated<number>;
  log_bytes: Generated<number>;
  created_at: number;
  updated_at: number;
  finished_at: number | null;
};

/** What builds have said, without gaps in `seq`, which begins at 0. */
export type TemplateBuildLogsTable = {
  build_id: string;
  seq: number;
  at: number;
  level: LogLevel;
  /** `base`, the number of a step from 1 on, or `finalize`; null: the build as a whole */
  step: string | null;
  message: string;
};

/** What drivers hold of machines after a step, for the next build with the same steps up to it. */
export type TemplateLayersTable = {
  owner_id: number;
  /** depends on all that the state depends on */
  key: string;
  /** a row of `machine_snapshots` */
  ref: string;
  /** JSON text of `Setup` */
  setup: string;
  /** the template that last used it, and is deleted with it */
  template_id: string;
  used_at: number;
};

/** Archives that users have uploaded for steps. They lie in the folder of `BuildFiles`. */
export type TemplateFilesTable = {
  owner_id: number;
  /** what the client calls it: a hash of its content in hexadecimal */
  hash: string;
  size_bytes: number;
  /** the template that last used it, and is deleted with it */
  template_id: string;
  used_at: number;
};
