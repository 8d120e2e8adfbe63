/** An index to find messages that are older than the retention. */
export const webhookRetention = {
  id: 7,
  name: 'webhook-retention',
  sql: 'create index webhook_deliveries_by_age on webhook_deliveries (created_at);',
};
