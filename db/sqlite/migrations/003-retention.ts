/** Finding those that ended long ago: when one was killed, or when it started where no end is known. */
export const retention = {
  id: 3,
  name: 'retention',
  sql: `
    create index sandboxes_ended on sandboxes (coalesce(end_at, started_at)) where status = 'killed';
  `,
};
