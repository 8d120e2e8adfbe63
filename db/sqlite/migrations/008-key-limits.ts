/** API keys that expire, and keys that may only read. */
export const keyLimits = {
  id: 8,
  name: 'key-limits',
  sql: `
    alter table api_keys add column expires_at integer;
    alter table api_keys add column read_only integer not null default 0 check (read_only in (0, 1));
  `,
};
