/** An index to find sandboxes that ended long ago, by end, or by start if the end is unknown. */
export const retention = {
  id: 3,
  name: 'retention',
  sql: `
    create index sandboxes_ended on sandboxes (coalesce(end_at, started_at)) where status = 'killed';
  `,
};
