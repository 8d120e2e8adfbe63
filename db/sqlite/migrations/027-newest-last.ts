/**
 * Turns the indexes of lists around. SQLite reads them from their end as well, and new sandboxes
 * are appended to the owner's end instead of splitting the first page, which then stays half empty.
 */
export const newestLast = {
  id: 27,
  name: 'newest-last',
  sql: `
    drop index sandboxes_newest_first;
    create index sandboxes_newest_last on sandboxes (owner_id, started_at, id desc);
    drop index sandboxes_live;
    create index sandboxes_live on sandboxes
      (owner_id, started_at, id desc, status, end_at, on_timeout, template_id) where status <> 'killed';
  `,
};
