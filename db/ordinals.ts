import { query } from './query.ts';
import type { Db, Trx } from './sqlite.ts';

type Counter = { ownerId: number; next: number; newest: number; disorder: number };

/**
 * Gives sandboxes the ordinals of their owners. One that started before another with a lower ordinal (the machine's
 * clock was set back, or old sandboxes are imported) is noted as disorder, which searches allow for.
 */
export class OrdinalCounters {
  readonly #trx: Trx;
  readonly #counters = new Map<number, Counter>();

  constructor(trx: Trx) {
    this.#trx = trx;
  }

  /** Returns the owner's next ordinal. It counts as taken once `save` was called. */
  async claim(ownerId: number, startedAt: number): Promise<number> {
    const counter = this.#counters.get(ownerId) ?? (await selectCounter(this.#trx, { ownerId }))[0];
    if (!counter) throw new Error(`there is no user ${ownerId}`);
    this.#counters.set(ownerId, counter);
    counter.disorder = Math.max(counter.disorder, counter.newest - startedAt);
    counter.newest = Math.max(counter.newest, startedAt);
    return counter.next++;
  }

  async save(): Promise<void> {
    for (const counter of this.#counters.values()) await updateCounter(this.#trx, counter);
  }
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
