/** Pausing and resuming, E2B's settings of a sandbox, and snapshots. */
export const lifecycle = {
  id: 2,
  name: 'lifecycle',
  sql: `
    alter table sandboxes add column on_timeout text not null default 'kill' check (on_timeout in ('kill', 'pause'));
    alter table sandboxes add column first_started_at integer;
    alter table sandboxes add column settings text;
    create index sandboxes_live on sandboxes (owner_id, started_at desc, id) where status <> 'killed';

    create table snapshots (
      id text primary key,
      owner_id integer not null references users (id),
      name text,
      sandbox_id text,
      template_id text,
      oci_image text,
      metadata text not null,
      memory_mb integer not null,
      vcpu_count integer not null,
      created_at integer not null,
      updated_at integer not null,
      spawn_count integer not null default 0,
      last_spawned_at integer,
      unique (owner_id, name)
    ) strict;
    create index snapshots_newest_first on snapshots (owner_id, created_at desc, id);
  `,
};
