import { query } from './query.ts';
import type { Db, Trx } from './sqlite.ts';

type Counter = { ownerId: number; next: number; newest: number; disorder: number };

/**
 * Gives each sandbox the next ordinal of its owner and returns them in the same order. A sandbox that started before
 * one with a lower ordinal (the machine's clock was set back, or old sandboxes are imported) is noted as disorder,
 * which searches allow for.
 */
export async function claimOrdinals(trx: Trx, sandboxes: { ownerId: number; startedAt: number }[]): Promise<number[]> {
  const counters = new Map<number, Counter>();
  const ordinals: number[] = [];
  for (const { ownerId, startedAt } of sandboxes) {
    const counter = counters.get(ownerId) ?? (await selectCounter(trx, { ownerId }))[0];
    if (!counter) throw new Error(`there is no user ${ownerId}`);
    counters.set(ownerId, counter);
    ordinals.push(counter.next++);
    counter.disorder = Math.max(counter.disorder, counter.newest - startedAt);
    counter.newest = Math.max(counter.newest, startedAt);
  }
  for (const counter of counters.values()) await updateCounter(trx, counter);
  return ordinals;
}

/** Returns by how many milliseconds the owner's ordinals may be out of order. */
export async function disorderOf(db: Db, ownerId: number): Promise<number> {
  return (await selectCounter(db, { ownerId }))[0]?.disorder ?? 0;
}

const selectCounter = query<{ ownerId: number }, Counter>((db, value) =>
  db
    .selectFrom('users')
    .select([
      'id as ownerId',
      'next_ordinal as next',
      'newest_started_at as newest',
      'disorder_milliseconds as disorder',
    ])
    .where('id', '=', value('ownerId')),
);

const updateCounter = query<Counter, unknown>((db, value) =>
  db
    .updateTable('users')
    .set({
      next_ordinal: value('next'),
      newest_started_at: value('newest'),
      disorder_milliseconds: value('disorder'),
    })
    .where('id', '=', value('ownerId')),
);
