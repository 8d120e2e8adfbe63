import type { Generated } from 'kysely';

export type UsersTable = {
  id: Generated<number>;
  name: string;
  /** null: the user has no password and can only use API keys */
  password_hash: string | null;
  created_at: number;
  /**
   * How far the user's sandboxes are out of order: the most by which one started before another
   * with a lower ordinal. 0 unless a clock was set back or sandboxes were imported.
   */
  disorder_milliseconds: Generated<number>;
};

export type ApiKeysTable = {
  id: Generated<number>;
  user_id: number;
  name: string;
  /** the part of the key that may be shown; unique */
  prefix: string;
  secret_hash: Buffer;
  created_at: number;
  last_used_at: number | null;
  revoked_at: number | null;
  /** invalid from this time on; null: never */
  expires_at: number | null;
  read_only: Generated<0 | 1>;
};

export type AccessTokensTable = {
  prefix: string;
  secret_hash: Buffer;
  user_id: number;
  expires_at: number;
};

/** SSH public keys. They open nothing: no machine runs behind a sandbox yet. */
export type SshKeysTable = {
  id: Generated<number>;
  owner_id: number;
  /** `SHA256:` and the hash, as OpenSSH shows it */
  fingerprint: string;
  public_key: string;
  comment: string;
  created_at: number;
};
