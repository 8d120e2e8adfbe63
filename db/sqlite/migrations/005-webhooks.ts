/** Webhook endpoints and the messages sent to them. */
export const webhooks = {
  id: 5,
  name: 'webhooks',
  sql: `
    create table webhook_endpoints (
      id text primary key,
      owner_id integer not null references users (id),
      url text not null,
      event_patterns text not null,
      description text,
      enabled integer not null check (enabled in (0, 1)),
      secret text not null,
      old_secret text,
      old_secret_until integer,
      seen_seq integer not null,
      created_at integer not null,
      updated_at integer not null
    ) strict;
    create index webhook_endpoints_by_owner on webhook_endpoints (owner_id, created_at, id);

    create table webhook_deliveries (
      seq integer primary key autoincrement,
      id text not null unique,
      endpoint_id text not null references webhook_endpoints (id) on delete cascade,
      event_seq integer,
      kind text not null,
      body text not null,
      status text not null check (status in ('pending', 'succeeded', 'failed')),
      attempts integer not null,
      round integer not null,
      next_attempt_at integer,
      last_attempt_at integer,
      response_status integer,
      error text,
      created_at integer not null
    ) strict;
    create index webhook_deliveries_by_endpoint on webhook_deliveries (endpoint_id, seq);
    create index webhook_deliveries_due on webhook_deliveries (endpoint_id, next_attempt_at) where status = 'pending';
  `,
};
