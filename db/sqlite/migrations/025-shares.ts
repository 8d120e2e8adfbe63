/** Adds the ports of sandboxes that InstaVM's clients share under names of their own. */
export const shares = {
  id: 25,
  name: 'shares',
  sql: `
    create table shares (
      id text primary key,
      sandbox_id text not null references sandboxes (id) on delete cascade,
      port integer not null check (port between 1 and 65535),
      is_public integer not null check (is_public in (0, 1)),
      created_at integer not null,
      unique (sandbox_id, port)
    ) strict, without rowid;
  `,
};
