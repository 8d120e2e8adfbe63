/**
 * SSH keys, and an index of runs longer than a day. A usage report finds in it those that began
 * before its period, and all others by their start.
 */
export const account = {
  id: 15,
  name: 'account',
  sql: `
    create table ssh_keys (
      id integer primary key autoincrement,
      owner_id integer not null references users (id),
      fingerprint text not null,
      public_key text not null,
      comment text not null,
      created_at integer not null,
      unique (owner_id, fingerprint)
    ) strict;
    create index sandboxes_long on sandboxes (owner_id, coalesce(end_at, 8640000000000000))
      where coalesce(end_at, 8640000000000000) - started_at > 86400000 and (end_at is not null or status <> 'killed');
  `,
};
