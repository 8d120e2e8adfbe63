/** Lets InstaVM's clients build snapshots: null for the templates that E2B's clients build. */
export const snapshotBuilds = {
  id: 26,
  name: 'snapshot-builds',
  sql: `alter table template_builds add column snapshot_type text check (snapshot_type in ('user', 'system'));`,
};
