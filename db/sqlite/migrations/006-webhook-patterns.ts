/**
 * An endpoint's earlier patterns, for events that were recorded before it changed and not yet
 * processed.
 */
export const webhookPatterns = {
  id: 6,
  name: 'webhook-patterns',
  sql: "alter table webhook_endpoints add column old_patterns text not null default '[]';",
};
