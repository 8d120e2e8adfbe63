/**
 * Sessions that outlive their sandbox, the names that InstaVM's templates give sandboxes, and types
 * of snapshots.
 */
export const sessions = {
  id: 14,
  name: 'sessions',
  sql: `
    create table sessions (
      id text primary key,
      owner_id integer not null references users (id),
      sandbox_id text not null unique,
      lifetime_seconds integer not null,
      created_at integer not null
    ) strict, without rowid;
    create index sessions_by_owner on sessions (owner_id);
    alter table sandboxes add column session_id text;
    alter table sandboxes add column devbox_name text;
    alter table sandboxes add column devbox_template_slug text;
    alter table snapshots add column type text not null default 'user' check (type in ('user', 'system'));
    create index snapshots_by_type on snapshots (owner_id, type, created_at desc, id);
  `,
};
