export const init = {
  id: 1,
  name: 'init',
  sql: `
    create table users (
      id integer primary key,
      name text not null unique,
      password_hash text,
      created_at integer not null
    ) strict;

    create table api_keys (
      id integer primary key,
      user_id integer not null references users (id) on delete cascade,
      name text not null,
      prefix text not null unique,
      secret_hash blob not null,
      created_at integer not null,
      last_used_at integer,
      revoked_at integer
    ) strict;
    create index api_keys_by_user on api_keys (user_id);

    create table access_tokens (
      prefix text primary key,
      secret_hash blob not null,
      user_id integer not null references users (id) on delete cascade,
      expires_at integer not null
    ) strict, without rowid;
    create index access_tokens_by_user on access_tokens (user_id);
    create index access_tokens_by_expiry on access_tokens (expires_at);

    create table sandboxes (
      id text primary key,
      owner_id integer not null references users (id),
      template_id text,
      metadata text not null,
      env text,
      memory_mb integer not null,
      vcpu_count integer not null,
      started_at integer not null,
      end_at integer,
      status text not null check (status in ('active', 'paused', 'killed'))
    ) strict;
    create index sandboxes_newest_first on sandboxes (owner_id, started_at desc, id);
    create index sandboxes_due on sandboxes (end_at) where status = 'active';

    create table sandbox_metadata (
      owner_id integer not null,
      pair text not null,
      started_at integer not null,
      sandbox_id text not null references sandboxes (id) on delete cascade,
      primary key (owner_id, pair, started_at desc, sandbox_id)
    ) strict, without rowid;
    create index sandbox_metadata_by_sandbox on sandbox_metadata (sandbox_id);
  `,
};
