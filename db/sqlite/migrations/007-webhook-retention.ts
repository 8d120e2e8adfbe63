/** So that messages which are kept no longer are found whatever stands before them. */
export const webhookRetention = {
  id: 7,
  name: 'webhook-retention',
  sql: 'create index webhook_deliveries_by_age on webhook_deliveries (created_at);',
};
