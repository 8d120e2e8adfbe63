/**
 * Replaces each endpoint's progress through the event log by an outbox. The outbox starts with the
 * events that endpoints had not processed, each with the endpoints that wanted it when it was
 * recorded.
 */
export const webhookOutbox = {
  id: 9,
  name: 'webhook-outbox',
  rewrites: true,
  sql: `
    create table webhook_outbox (
      event_seq integer primary key references events (seq) on delete cascade,
      owner_id integer not null references users (id) on delete cascade,
      endpoints text not null
    ) strict;
    create index webhook_outbox_by_owner on webhook_outbox (owner_id, event_seq);

    insert into webhook_outbox (event_seq, owner_id, endpoints)
    select seq, owner_id, json_group_array(endpoint_id) from (
      select
        events.seq, events.owner_id, events.kind, webhook_endpoints.id as endpoint_id,
        coalesce(
          (
            select value ->> 'patterns' from json_each(old_patterns)
            where value ->> 'until' >= events.seq order by key limit 1
          ),
          iif(enabled = 1, event_patterns, '[]')
        ) as patterns
      from webhook_endpoints
      join events on events.owner_id = webhook_endpoints.owner_id and events.seq > seen_seq
      where enabled = 1 or old_patterns <> '[]'
    )
    where exists (select 1 from json_each(patterns) where kind glob value)
    group by seq;

    alter table webhook_endpoints drop column seen_seq;
    alter table webhook_endpoints drop column old_patterns;
    alter table webhook_endpoints add column include_metadata integer not null default 0 check (include_metadata in (0, 1));
    alter table webhook_endpoints add column failing_since integer;
  `,
};
