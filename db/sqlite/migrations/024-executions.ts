/** Adds the code that InstaVM's clients run in the background, with its results. */
export const executions = {
  id: 24,
  name: 'executions',
  sql: `
    create table executions (
      seq integer primary key autoincrement,
      id text not null unique,
      sandbox_id text not null references sandboxes (id) on delete cascade,
      created_at integer not null,
      ended_at integer,
      stdout text not null default '',
      stderr text not null default '',
      exit_code integer,
      run_seconds real,
      cpu_seconds real
    ) strict;
    create index executions_by_sandbox on executions (sandbox_id, seq);
    create index executions_unfinished on executions (seq) where ended_at is null;
  `,
};
