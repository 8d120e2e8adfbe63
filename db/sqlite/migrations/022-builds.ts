/**
 * Adds templates built from code: the builds with their logs, the machines' states after steps that
 * can be used again, the files that users upload for steps, and what a template lays down for the
 * commands of its machines.
 */
export const builds = {
  id: 22,
  name: 'builds',
  sql: `
    create table template_builds (
      seq integer primary key autoincrement,
      id text not null unique,
      owner_id integer not null references users (id) on delete cascade,
      template_id text not null,
      name text not null,
      tags text not null,
      vcpu_count integer not null,
      memory_mb integer not null,
      status text not null check (status in ('waiting', 'building', 'ready', 'error')),
      spec text,
      reason text,
      failed_step text,
      log_entries integer not null default 0,
      log_bytes integer not null default 0,
      created_at integer not null,
      updated_at integer not null,
      finished_at integer
    ) strict;
    create index template_builds_by_owner on template_builds (owner_id, seq);
    create index template_builds_by_template on template_builds (template_id, created_at desc, id);
    create index template_builds_unfinished on template_builds (status, created_at)
      where status in ('waiting', 'building');
    create table template_build_logs (
      build_id text not null references template_builds (id) on delete cascade,
      seq integer not null,
      at integer not null,
      level text not null check (level in ('debug', 'info', 'warn', 'error')),
      step text,
      message text not null,
      primary key (build_id, seq)
    ) strict, without rowid;
    create table template_layers (
      owner_id integer not null references users (id) on delete cascade,
      key text not null,
      ref text not null,
      setup text not null,
      template_id text not null,
      used_at integer not null,
      primary key (owner_id, key)
    ) strict, without rowid;
    create index template_layers_by_ref on template_layers (ref);
    create index template_layers_by_template on template_layers (template_id);
    create index template_layers_by_use on template_layers (owner_id, used_at);
    create table template_files (
      owner_id integer not null references users (id) on delete cascade,
      hash text not null,
      size_bytes integer not null,
      template_id text not null,
      used_at integer not null,
      primary key (owner_id, hash)
    ) strict, without rowid;
    create index template_files_by_template on template_files (template_id);
    create index template_files_by_use on template_files (used_at);
    alter table snapshots add column setup text;
    alter table machines add column setup text;
  `,
};
