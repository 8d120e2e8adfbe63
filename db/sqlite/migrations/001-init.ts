export const init = {
  id: 1,
  name: 'init',
  sql: `
    create table users (
      id integer primary key autoincrement,
      name text not null unique,
      password_hash text,
      created_at integer not null,
      disorder_milliseconds integer not null default 0
    ) strict;

    create table api_keys (
      id integer primary key autoincrement,
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
      position integer primary key,
      id text not null unique,
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
      pair blob not null,
      chunk integer not null,
      members blob not null,
      primary key (pair, chunk)
    ) strict, without rowid;
  `,
};
