/** Adds the states of machines and the snapshots that are taken of them. */
export const machineStates = {
  id: 20,
  name: 'machine-states',
  sql: `
    alter table machines add column state text not null default 'running'
      check (state in ('running', 'paused', 'stopped'));
    alter table machines add column driver text not null default 'docker';
    alter table machines add column allows_sudo integer not null default 0;
    alter table machines add column runtime text;
    create table machine_snapshots (
      ref text primary key,
      driver text not null,
      allows_sudo integer not null,
      runtime text,
      has_memory integer not null,
      size_bytes integer not null,
      created_at integer not null
    ) strict, without rowid;
    alter table snapshots add column machine_ref text;
    create index snapshots_by_machine_ref on snapshots (machine_ref) where machine_ref is not null;
  `,
};
