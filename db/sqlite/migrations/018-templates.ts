/** Adds the templates that users publish for InstaVM's devboxes. */
export const templates = {
  id: 18,
  name: 'templates',
  sql: `
    create table templates (
      slug text primary key,
      owner_id integer not null references users (id) on delete cascade,
      snapshot_id text not null references snapshots (id) on delete cascade,
      name text not null,
      version text not null,
      audience text not null,
      memory_mb integer not null,
      vcpu_count integer not null,
      details text not null,
      created_at integer not null,
      updated_at integer not null
    ) strict, without rowid;
    create index templates_by_owner on templates (owner_id);
    create index templates_by_snapshot on templates (snapshot_id);
  `,
};
