/**
 * The event log. Its index has every column that a list filters by, so non-matching events are
 * skipped fast.
 */
export const events = {
  id: 4,
  name: 'events',
  sql: `
    create table events (
      seq integer primary key autoincrement,
      at integer not null,
      kind text not null,
      owner_id integer not null references users (id),
      subject text not null,
      sandbox_id text,
      via text not null check (via in ('api', 'cli', 'sweeper', 'webhooks')),
      key_id integer,
      request_id text,
      details text not null
    ) strict;
    create index events_by_owner on events (owner_id, seq, at, kind);
    create index events_by_sandbox on events (owner_id, sandbox_id) where sandbox_id is not null;
  `,
};
