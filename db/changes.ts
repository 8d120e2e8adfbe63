import type { Database } from 'better-sqlite3';

/** What may become of a sandbox: `expired` and `ended` are both the end, by its lifetime or by a request. */
export const changes = ['created', 'paused', 'resumed', 'ended', 'expired', 'deleted'] as const;

export type Changes = Record<(typeof changes)[number], number>;

/**
 * Has this connection count from now on what becomes of sandboxes by it, and returns a function that returns the counts.
 * They stand in a temporary table: what is rolled back isn't counted.
 */
export function countChanges(sqlite: Database): () => Changes {
  // In memory: where the disk is full, nothing else is to fail for it.
  sqlite.pragma('temp_store = memory');
  sqlite.exec(tally);
  const select = sqlite.prepare<[], [keyof Changes, number]>('select kind, count from sandbox_changes').raw();
  return () => Object.fromEntries(select.all()) as Changes;
}

/** Who reaches the end of a lifetime keeps its end; a request moves it to now. */
const tally = `
  create temp table sandbox_changes (kind text primary key, count integer not null) without rowid;
  insert into sandbox_changes values ${changes.map((kind) => `('${kind}', 0)`).join(', ')};

  create temp trigger sandbox_created after insert on main.sandboxes begin
    update sandbox_changes set count = count + 1 where kind = 'created';
  end;
  create temp trigger sandbox_changed after update of status on main.sandboxes when new.status <> old.status begin
    update sandbox_changes set count = count + 1 where kind = case
      when new.status = 'active' then 'resumed'
      when new.status = 'paused' then 'paused'
      when new.end_at is old.end_at then 'expired'
      else 'ended'
    end;
  end;
  create temp trigger sandbox_deleted after delete on main.sandboxes begin
    update sandbox_changes set count = count + 1 where kind = 'deleted';
  end;
`;
