import { sql } from 'kysely';
import { LRUCache } from 'lru-cache';
import { engineOf } from '../../engine.ts';
import { parseJson } from '../../json/json.ts';
import { contains } from '../../metadata.ts';
import { query } from '../../prepared.ts';
import type { Db } from '../../store.ts';
import { Turns } from '../../turns.ts';
import { inSteps, lastTime, maxStep, readerOf, type SandboxQuery, searchOf } from './pages.ts';

/** How many counts are kept for each database. */
const maxKept = 1000;

/** Of more sandboxes that are due, none is looked at: counting anew takes less. */
const maxDue = 500;

/** A count of sandboxes that are stored as running, at a version of the database. */
type Kept = { version: string; stored: number };

const kept = new WeakMap<object, LRUCache<string, Kept>>();

/**
 * Returns how many of the sandboxes that a query selects, on any page, are running. What is stored
 * is counted once for each version of the database; of those, the ones whose time is over are
 * counted each time.
 */
export async function countRunning(
  db: Db,
  now: number,
  ownerId: number,
  wanted: SandboxQuery,
  turns = new Turns(),
): Promise<number> {
  const running: SandboxQuery = { ...wanted, statuses: ['active'], after: null };
  const version = engineOf(db).version?.();
  const over = version === undefined ? null : await countOver(db, now, ownerId, running, turns);
  if (version === undefined || over === null) return count(db, now, ownerId, running, turns);
  const counts = countsOf(db);
  const { filter, since, until, templateId } = running;
  const key = JSON.stringify([ownerId, filter.document, since, until, templateId]);
  let known = counts.get(key);
  if (known?.version !== version) {
    // The time does not matter yet: nothing is over at the first time there is.
    known = { version, stored: await count(db, -lastTime, ownerId, running, turns) };
    counts.set(key, known);
  }
  // Something has changed meanwhile: the two numbers may not belong together.
  if (engineOf(db).version?.() !== version) return count(db, now, ownerId, running, turns);
  return known.stored - over;
}

function countsOf(db: Db): LRUCache<string, Kept> {
  const engine = engineOf(db);
  const counts = kept.get(engine) ?? new LRUCache<string, Kept>({ max: maxKept });
  kept.set(engine, counts);
  return counts;
}

/**
 * Returns how many of a query's sandboxes are stored as running, but their time is over; null if
 * there are too many.
 */
async function countOver(
  db: Db,
  now: number,
  ownerId: number,
  wanted: SandboxQuery,
  turns: Turns,
): Promise<number | null> {
  const due = await selectOver(db, { now, limit: maxDue + 1 });
  if (due.length > maxDue) return null;
  const positions = due.filter((row) => row.ownerId === ownerId).map(({ position }) => position);
  if (positions.length === 0) return 0;
  const reader = readerOf(-lastTime, wanted);
  const rows = await reader.select(db, positions);
  const { pairs, document } = wanted.filter;
  if (pairs.length === 0) return rows.length;
  let matching = 0;
  for (const row of rows) {
    if (contains(parseJson(await reader.metadata(db, row)), document)) matching++;
    await turns.next();
  }
  return matching;
}

const selectOver = query<{ now: number; limit: number }, { position: number; ownerId: number }>((db, value) =>
  db
    .selectFrom('sandboxes')
    .select(['position', 'owner_id as ownerId'])
    .where('status', '=', sql.lit('active' as const))
    .where('end_at', '<=', value('now'))
    .limit(value('limit')),
);

async function count(db: Db, now: number, ownerId: number, wanted: SandboxQuery, turns: Turns): Promise<number> {
  const { index } = engineOf(db);
  const isByStatus = wanted.since === null && wanted.until === null && wanted.templateId === null;
  if (wanted.filter.pairs.length > 0) {
    return index.count(db, searchOf(ownerId, now, wanted, turns), isByStatus, readerOf(now, wanted));
  }
  if (isByStatus) return index.countActive(db, ownerId, now, turns);
  let found = 0;
  await inSteps(db, { now, ownerId, wanted, size: maxStep, turns }, async (_trx, positions) => {
    found += positions.length;
    return true;
  });
  return found;
}
