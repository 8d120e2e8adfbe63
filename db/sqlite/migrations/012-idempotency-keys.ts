/** Adds the `Idempotency-Key`s of requests that started sandboxes. */
export const idempotencyKeys = {
  id: 12,
  name: 'idempotency-keys',
  sql: `
    create table idempotency_keys (
      owner_id integer not null references users (id) on delete cascade,
      key text not null,
      request_hash blob not null,
      sandbox_ids text not null,
      created_at integer not null,
      primary key (owner_id, key)
    ) strict, without rowid;
    create index idempotency_keys_by_age on idempotency_keys (created_at);
  `,
};
