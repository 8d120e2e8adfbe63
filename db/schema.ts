import type { Generated, Kysely, Transaction } from 'kysely';
import type { AccessTokensTable, ApiKeysTable, SshKeysTable, UsersTable } from './accounts/tables.ts';
import type {
  TemplateBuildLogsTable,
  TemplateBuildsTable,
  TemplateFilesTable,
  TemplateLayersTable,
} from './builds/tables.ts';
import type { EventKind } from './events/kinds.ts';
import type {
  ExecutionsTable,
  InstanceTable,
  MachineSnapshotsTable,
  MachinesTable,
  MachineTemplatesTable,
  SharesTable,
} from './machines/tables.ts';

/**
 * The stored status. An active sandbox past its `end_at` reads as paused or killed, by its
 * `on_timeout`, even before that is stored.
 */
export type SandboxStatus = 'active' | 'paused' | 'killed';

export type OnTimeout = 'kill' | 'pause';

export type SandboxesTable = {
  /** the row number, which the metadata index assigns; an opaque key to all other code */
  position: number;
  id: string;
  owner_id: number;
  template_id: string | null;
  /** JSON text of an object */
  metadata: string;
  /** JSON text of an object of strings; may hold secrets */
  env: string | null;
  memory_mb: number;
  vcpu_count: number;
  /** when its current run started: resuming starts a new run */
  started_at: number;
  /** when it ends, or was paused or killed; null: never, or unknown */
  end_at: number | null;
  status: SandboxStatus;
  on_timeout: Generated<OnTimeout>;
  /** when its first run started; null: the current run is the first */
  first_started_at: Generated<number | null>;
  /** JSON text of an object that a client stores and no rule reads; may hold secrets */
  settings: Generated<string | null>;
  /** the session that it was started in; null: a session of its own, whose id its own id encodes */
  session_id: Generated<string | null>;
  /** the name and template of InstaVM's devboxes; null: it is none */
  devbox_name: Generated<string | null>;
  devbox_template_slug: Generated<string | null>;
};

/**
 * InstaVM's sessions, which outlive their sandbox: the next sandbox of a session is started like
 * its last one, with this lifetime. A session without a row is one whose first sandbox is its only
 * one.
 */
export type SessionsTable = {
  id: string;
  owner_id: number;
  /** its current or last sandbox */
  sandbox_id: string;
  lifetime_seconds: number;
  created_at: number;
};

/** Records that sandboxes can be started from. Any other template is a name without a record. */
export type SnapshotsTable = {
  id: string;
  owner_id: number;
  name: string | null;
  /** the sandbox that it was taken of; null: it was made from an image */
  sandbox_id: string | null;
  /** the template that this sandbox was started from */
  template_id: string | null;
  oci_image: string | null;
  metadata: string;
  memory_mb: number;
  vcpu_count: number;
  created_at: number;
  /** when a later snapshot last replaced it */
  updated_at: number;
  spawn_count: Generated<number>;
  last_spawned_at: Generated<number | null>;
  type: Generated<SnapshotType>;
  /** a UUID that changes when a later snapshot replaces it; null: older than tags */
  build_id: string | null;
  /** what a driver holds of it; null: a record only */
  machine_ref: Generated<string | null>;
  /** JSON text of `Setup` */
  setup: Generated<string | null>;
};

export type SnapshotType = 'user' | 'system';

/** Further references to snapshots. A reference has one meaning: it is no other snapshot's name. */
export type SnapshotTagsTable = {
  owner_id: number;
  /** in the stored form of E2B's references: a name, or a snapshot's id, with a tag */
  reference: string;
  snapshot_id: string;
  /** when it was last pointed to a snapshot */
  created_at: number;
};

/** Templates of InstaVM's devboxes. Whoever reaches the server may read them. */
export type TemplatesTable = {
  slug: string;
  owner_id: number;
  /** a snapshot of the owner */
  snapshot_id: string;
  name: string;
  version: string;
  audience: string;
  memory_mb: number;
  vcpu_count: number;
  /** JSON text of an object: the other members of the manifest */
  details: string;
  created_at: number;
  updated_at: number;
};

/**
 * The metadata index: for each pair and chunk, the sandboxes that have the pair. See
 * sqlite/index/pairs.ts.
 */
export type SandboxMetadataTable = {
  pair: Uint8Array;
  chunk: number;
  members: Uint8Array;
};

/** The event log, in the order of commits. Rows never change; old ones are deleted. */
export type EventsTable = {
  /** never reused, whatever is deleted */
  seq: Generated<number>;
  /** when it was recorded */
  at: number;
  kind: EventKind;
  owner_id: number;
  /**
   * the id of a sandbox, snapshot or endpoint, the prefix of an API key, the fingerprint of an SSH
   * key, or the name of a user
   */
  subject: string;
  /** the sandbox that is the subject, or that the subject was taken of */
  sandbox_id: string | null;
  via: 'api' | 'cli' | 'sweeper' | 'webhooks';
  key_id: number | null;
  request_id: string | null;
  /** JSON text of an object, without env, settings, metadata and secrets */
  details: string;
  /**
   * the session of the sandbox; null: none, or a session of its own, whose id its own id encodes
   */
  session_id: string | null;
};

/** How messages are signed and composed: as Standard Webhooks has it, or as E2B's server does. */
export type WebhookFormat = 'standard' | 'e2b';

/** URLs that owners' events are sent to. */
export type WebhookEndpointsTable = {
  id: string;
  owner_id: number;
  url: string;
  /** JSON text of an array of strings */
  event_patterns: string;
  description: string | null;
  enabled: 0 | 1;
  /** in the clear, because signing needs the secret itself */
  secret: string;
  /** the previous secrets, newest first, separated by spaces */
  old_secret: string | null;
  old_secret_until: number | null;
  created_at: number;
  updated_at: number;
  /** whether messages carry the sandbox's metadata */
  include_metadata: Generated<0 | 1>;
  /** the first failed attempt since the last success; null: none */
  failing_since: Generated<number | null>;
  timeout_seconds: Generated<number>;
  max_retries: Generated<number>;
  format: Generated<WebhookFormat>;
};

/** Queued events, which have no deliveries yet. */
export type WebhookOutboxTable = {
  event_seq: number;
  owner_id: number;
  /** JSON text of an array: the ids of the endpoints that wanted the event when it was recorded */
  endpoints: string;
};

export type DeliveryStatus = 'pending' | 'succeeded' | 'failed';

/** Messages to endpoints, pending and past. */
export type WebhookDeliveriesTable = {
  seq: Generated<number>;
  id: string;
  endpoint_id: string;
  /** null: a test message */
  event_seq: number | null;
  kind: string;
  body: string;
  status: DeliveryStatus;
  attempts: number;
  /** 1, and one more for each resend */
  round: number;
  next_attempt_at: number | null;
  last_attempt_at: number | null;
  response_status: number | null;
  error: string | null;
  created_at: number;
};

/** The `Idempotency-Key`s of requests that started sandboxes. Old ones are deleted. */
export type IdempotencyKeysTable = {
  owner_id: number;
  key: string;
  /** of the request's method, path and body */
  request_hash: Buffer;
  /** JSON text of an array: the sandboxes that the request has started */
  sandbox_ids: string;
  created_at: number;
};

export type MigrationsTable = {
  id: number;
  name: string;
  applied_at: string;
};

/** All times are milliseconds since 1970 in UTC, like Date.now(). */
export type Tables = {
  users: UsersTable;
  api_keys: ApiKeysTable;
  access_tokens: AccessTokensTable;
  sandboxes: SandboxesTable;
  sessions: SessionsTable;
  sandbox_metadata: SandboxMetadataTable;
  snapshots: SnapshotsTable;
  ssh_keys: SshKeysTable;
  snapshot_tags: SnapshotTagsTable;
  templates: TemplatesTable;
  events: EventsTable;
  webhook_endpoints: WebhookEndpointsTable;
  webhook_outbox: WebhookOutboxTable;
  webhook_deliveries: WebhookDeliveriesTable;
  idempotency_keys: IdempotencyKeysTable;
  instance: InstanceTable;
  machines: MachinesTable;
  machine_snapshots: MachineSnapshotsTable;
  machine_templates: MachineTemplatesTable;
  executions: ExecutionsTable;
  shares: SharesTable;
  template_builds: TemplateBuildsTable;
  template_build_logs: TemplateBuildLogsTable;
  template_layers: TemplateLayersTable;
  template_files: TemplateFilesTable;
  migrations: MigrationsTable;
};

/** A database, or a transaction of it. */
export type Db = Kysely<Tables>;
export type Trx = Transaction<Tables>;
