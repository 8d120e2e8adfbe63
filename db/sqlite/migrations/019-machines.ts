/** Adds machines, the images that they start from, and the identity of this database. */
export const machines = {
  id: 19,
  name: 'machines',
  sql: `
    create table instance (
      id text primary key,
      token_key blob not null
    ) strict, without rowid;
    insert into instance (id, token_key) values (lower(hex(randomblob(8))), randomblob(32));
    create table machines (
      sandbox_id text primary key,
      owner_id integer not null,
      image text not null,
      is_ready integer not null default 0,
      created_at integer not null
    ) strict, without rowid;
    create table machine_templates (
      name text primary key,
      image text not null,
      allows_sudo integer not null default 0,
      runtime text,
      created_at integer not null
    ) strict, without rowid;
  `,
};
