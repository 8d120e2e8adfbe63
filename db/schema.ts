import type { Generated } from 'kysely';
import type { EventKind } from './events/kinds.ts';

/** Times are milliseconds since 1970 in UTC, as Date.now() counts them. */
export type UsersTable = {
  id: Generated<number>;
  name: string;
  /** null: this user can't log in with a password */
  password_hash: string | null;
  created_at: number;
  /** the most that a sandbox's start lay before that of one with a lower ordinal: 0 unless a clock ran backwards or the future was imported */
  disorder_milliseconds: Generated<number>;
};

export type ApiKeysTable = {
  id: Generated<number>;
  user_id: number;
  name: string;
  /** the part that may be shown, unique */
  prefix: string;
  secret_hash: Buffer;
  created_at: number;
  last_used_at: number | null;
  revoked_at: number | null;
  /** from this time on it is not valid; null: never */
  expires_at: number | null;
  read_only: Generated<0 | 1>;
};

export type AccessTokensTable = {
  prefix: string;
  secret_hash: Buffer;
  user_id: number;
  expires_at: number;
};

/** `expired` is never stored: an active sandbox past its `end_at` reads as what its `on_timeout` makes of it. */
export type SandboxStatus = 'active' | 'paused' | 'killed';

export type OnTimeout = 'kill' | 'pause';

export type SandboxesTable = {
  /** where it stands: see positions.ts */
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
  /** when its current run began: resuming begins a new one */
  started_at: number;
  /** when it expires, was paused or was killed; null: never, or unknown */
  end_at: number | null;
  status: SandboxStatus;
  on_timeout: Generated<OnTimeout>;
  /** when its first run began; null: the current one is the first */
  first_started_at: Generated<number | null>;
  /** JSON text of an object: what a client wants kept and no rule reads; may hold secrets */
  settings: Generated<string | null>;
};

/** What sandboxes can be started from. Whatever else they are started from is a name and nothing more. */
export type SnapshotsTable = {
  id: string;
  owner_id: number;
  name: string | null;
  /** what it was taken of; null when it was made from an image */
  sandbox_id: string | null;
  /** what that sandbox had been started from */
  template_id: string | null;
  oci_image: string | null;
  metadata: string;
  memory_mb: number;
  vcpu_count: number;
  created_at: number;
  /** when it was last taken anew under its name */
  updated_at: number;
  spawn_count: Generated<number>;
  last_spawned_at: Generated<number | null>;
};

/** Which sandboxes of a chunk have a pair in their metadata; see metadata.ts for what a pair is. */
export type SandboxMetadataTable = {
  pair: Uint8Array;
  chunk: number;
  members: Uint8Array;
};

/** What was done to whose things, in the order it was committed. Rows are added, and deleted when they are old; they never change. */
export type EventsTable = {
  /** never used again, whatever is deleted */
  seq: Generated<number>;
  /** when it was recorded */
  at: number;
  kind: EventKind;
  owner_id: number;
  /** what it is about: the id of a sandbox or snapshot, the prefix of an API key, the name of a user */
  subject: string;
  /** the sandbox that the subject is, or was taken of */
  sandbox_id: string | null;
  via: 'api' | 'cli' | 'sweeper' | 'webhooks';
  key_id: number | null;
  request_id: string | null;
  /** JSON text of an object: no env, settings, metadata or secret */
  details: string;
};

/** Where an owner's events are sent to. */
export type WebhookEndpointsTable = {
  id: string;
  owner_id: number;
  url: string;
  /** JSON text of an array of strings */
  event_patterns: string;
  description: string | null;
  enabled: 0 | 1;
  /** in the clear: a hash can't sign */
  secret: string;
  /** those before, the last first, a space between any two */
  old_secret: string | null;
  old_secret_until: number | null;
  created_at: number;
  updated_at: number;
  /** whether messages carry the sandbox's metadata */
  include_metadata: Generated<0 | 1>;
  /** when the first attempt failed since one succeeded; null: none has */
  failing_since: Generated<number | null>;
};

/** Events that have no deliveries yet. */
export type WebhookOutboxTable = {
  event_seq: number;
  owner_id: number;
  /** JSON text of an array: the ids of the endpoints that wanted the event when it was recorded */
  endpoints: string;
};

export type DeliveryStatus = 'pending' | 'succeeded' | 'failed';

/** Messages to endpoints: what is to be sent, and what was. */
export type WebhookDeliveriesTable = {
  seq: Generated<number>;
  id: string;
  endpoint_id: string;
  /** null: a test */
  event_seq: number | null;
  kind: string;
  body: string;
  status: DeliveryStatus;
  attempts: number;
  /** how often it was asked for */
  round: number;
  next_attempt_at: number | null;
  last_attempt_at: number | null;
  response_status: number | null;
  error: string | null;
  created_at: number;
};

export type MigrationsTable = {
  id: number;
  name: string;
  applied_at: string;
};

export type Tables = {
  users: UsersTable;
  api_keys: ApiKeysTable;
  access_tokens: AccessTokensTable;
  sandboxes: SandboxesTable;
  sandbox_metadata: SandboxMetadataTable;
  snapshots: SnapshotsTable;
  events: EventsTable;
  webhook_endpoints: WebhookEndpointsTable;
  webhook_outbox: WebhookOutboxTable;
  webhook_deliveries: WebhookDeliveriesTable;
  migrations: MigrationsTable;
};
