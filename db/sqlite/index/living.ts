import { sql } from 'kysely';
import type { Living } from '../../metadata-index.ts';
import { query } from '../../prepared.ts';
import { statusAt } from '../../sandboxes/read.ts';
import type { SandboxStatus } from '../../schema.ts';
import type { Db } from '../../store.ts';
import type { Turns } from '../../turns.ts';
import { chunkSize, type Members, membersOf } from './members.ts';
import { chunkOf, ordinalOf, positionOf } from './positions.ts';

/** The number of chunks that one statement counts. */
const chunksInStep = 2;

/**
 * Returns the sandboxes of a chunk that have one of the statuses at a time. Reads only an index
 * that leaves out ended sandboxes.
 */
export async function livingIn(db: Db, ownerId: number, chunk: number, { statuses, now }: Living): Promise<Members> {
  const from = positionOf(ownerId, chunk * chunkSize);
  const values = { from, to: from + chunkSize, now, statuses: JSON.stringify(statuses) };
  const [found] = await selectLiving(db, values);
  return membersOf(JSON.parse(found?.offsets ?? '[]'));
}

/** Implements MetadataIndex.countActive. */
export async function countActive(db: Db, ownerId: number, now: number, turns: Turns): Promise<number> {
  const [ends] = await selectEnds(db, { from: positionOf(ownerId, 0), to: positionOf(ownerId + 1, 0) });
  if (ends?.first == null || ends.last === null) return 0;
  let active = 0;
  const last = chunkOf(ordinalOf(ends.last));
  for (let chunk = chunkOf(ordinalOf(ends.first)); chunk <= last; chunk += chunksInStep) {
    const from = positionOf(ownerId, chunk * chunkSize);
    const [counted] = await selectActive(db, { from, to: from + chunksInStep * chunkSize, now });
    active += counted?.active ?? 0;
    await turns.next();
  }
  return active;
}

type Range = { from: number; to: number };

const selectLiving = query<Range & { now: number; statuses: string }, { offsets: string }>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(sql<string>`json_group_array(position - ${value('from')})`.as('offsets'))
    .where('status', '<>', sql.lit('killed' as const))
    .where('position', '>=', value('from'))
    .where('position', '<', value('to'))
    .where((eb) =>
      eb(statusAt(eb, value('now')), 'in', sql<SandboxStatus>`(select value from json_each(${value('statuses')}))`),
    ),
);

const selectActive = query<Range & { now: number }, { active: number }>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(({ fn }) => fn.countAll<number>().as('active'))
    .where('status', '<>', sql.lit('killed' as const))
    .where('position', '>=', value('from'))
    .where('position', '<', value('to'))
    .where((eb) => eb(statusAt(eb, value('now')), '=', sql.lit('active' as const))),
);

const selectEnds = query<Range, { first: number | null; last: number | null }>((db, value) => {
  const end = (order: 'asc' | 'desc') =>
    db
      .selectFrom('sandboxes')
      .select('position')
      .where('status', '<>', sql.lit('killed' as const))
      .where('position', '>=', value('from'))
      .where('position', '<', value('to'))
      .orderBy('position', order)
      .limit(sql.lit(1))
      .$asScalar();
  return db.selectNoFrom([end('asc').as('first'), end('desc').as('last')]) as never;
});
