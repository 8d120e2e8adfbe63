import { sql } from 'kysely';
import { StoreError } from '../../errors.ts';
import { query } from '../../prepared.ts';
import type { Db, Trx } from '../../store.ts';
import { ordinalOf, ordinalsPerOwner, positionOf } from './positions.ts';

type Counter = { next: number; newest: number; disorder: number; savedDisorder: number };

/**
 * Assigns ordinals to sandboxes, counting up per owner. If a sandbox started before another with a
 * lower ordinal (the clock was set back, or old sandboxes are imported), it records the difference
 * as the owner's disorder, which searches take into account.
 */
export class OrdinalCounters {
  readonly #trx: Trx;
  readonly #counters = new Map<number, Counter>();

  constructor(trx: Trx) {
    this.#trx = trx;
  }

  /** Returns the owner's next ordinal. Call `save` afterwards to store the disorder. */
  async claim(ownerId: number, startedAt: number): Promise<number> {
    const counter = this.#counters.get(ownerId) ?? (await this.#counterOf(ownerId));
    this.#counters.set(ownerId, counter);
    counter.disorder = Math.max(counter.disorder, counter.newest - startedAt);
    counter.newest = Math.max(counter.newest, startedAt);
    if (counter.next >= ordinalsPerOwner)
      throw new StoreError('conflict', 'the user has had the largest possible number of sandboxes');
    return counter.next++;
  }

  async save(): Promise<void> {
    for (const [ownerId, { disorder, savedDisorder }] of this.#counters) {
      if (disorder > savedDisorder) await updateDisorder(this.#trx, { ownerId, disorder });
    }
  }

  async #counterOf(ownerId: number): Promise<Counter> {
    const [found] = await selectNewest(this.#trx, {
      ownerId,
      from: positionOf(ownerId, 0),
      to: positionOf(ownerId + 1, 0),
    });
    const { highest, newest, disorder } = found ?? { highest: null, newest: null, disorder: 0 };
    const next = highest === null ? 0 : ordinalOf(highest) + 1;
    return { next, newest: newest ?? 0, disorder, savedDisorder: disorder };
  }
}

/** Returns by how many milliseconds the owner's sandboxes are out of order at most. */
export async function disorderOf(db: Db, ownerId: number): Promise<number> {
  return (await selectDisorder(db, { ownerId }))[0]?.disorder ?? 0;
}

const selectDisorder = query<{ ownerId: number }, { disorder: number }>((db, value) =>
  db.selectFrom('users').select('disorder_milliseconds as disorder').where('id', '=', value('ownerId')),
);

const updateDisorder = query<{ ownerId: number; disorder: number }, unknown>((db, value) =>
  db
    .updateTable('users')
    .set({ disorder_milliseconds: value('disorder') })
    .where('id', '=', value('ownerId')),
);

type Newest = { highest: number | null; newest: number | null; disorder: number };

const selectNewest = query<{ ownerId: number; from: number; to: number }, Newest>((db, value) =>
  sql<Newest>`
    select
      (select max(position) from sandboxes where position >= ${value('from')} and position < ${value('to')}) as highest,
      (select started_at from sandboxes where owner_id = users.id order by started_at desc limit 1) as newest,
      disorder_milliseconds as disorder
    from users where id = ${value('ownerId')}
  `.compile(db),
);
