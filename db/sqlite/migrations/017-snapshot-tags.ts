/** Adds tags that name snapshots, and the id of what a snapshot holds, which tags point to. */
export const snapshotTags = {
  id: 17,
  name: 'snapshot-tags',
  sql: `
    alter table snapshots add column build_id text;
    create table snapshot_tags (
      owner_id integer not null references users (id) on delete cascade,
      reference text not null,
      snapshot_id text not null references snapshots (id) on delete cascade,
      created_at integer not null,
      primary key (owner_id, reference)
    ) strict, without rowid;
    create index snapshot_tags_by_snapshot on snapshot_tags (snapshot_id, reference);
  `,
};
