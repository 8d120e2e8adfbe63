/**
 * Indexes with which a page of events or deliveries of some kinds reads only the rows that it
 * shows, and the session of an event's sandbox. Also what the owner of a webhook endpoint sets: its
 * timeout, its retries, and the format of its messages.
 */
export const eventFilters = {
  id: 16,
  name: 'event-filters',
  sql: `
    alter table events add column session_id text;
    create index events_by_session on events (owner_id, session_id, kind, seq, at) where session_id is not null;
    create index events_by_kind on events (owner_id, kind, seq, at);
    drop index events_by_sandbox;
    create index events_by_sandbox on events (owner_id, sandbox_id, kind, seq, at) where sandbox_id is not null;
    create index webhook_deliveries_by_kind on webhook_deliveries (endpoint_id, kind, status, seq);

    alter table webhook_endpoints add column timeout_seconds integer not null default 15;
    alter table webhook_endpoints add column max_retries integer not null default 9;
    alter table webhook_endpoints add column format text not null default 'standard' check (format in ('standard', 'e2b'));
  `,
};
