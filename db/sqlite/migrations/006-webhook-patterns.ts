/** What an endpoint wanted before, for events that have not been looked at for it. */
export const webhookPatterns = {
  id: 6,
  name: 'webhook-patterns',
  sql: "alter table webhook_endpoints add column old_patterns text not null default '[]';",
};
