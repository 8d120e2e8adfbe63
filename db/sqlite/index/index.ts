import { type JsonObject, parseJson } from '../../json/json.ts';
import type { Indexed, MetadataIndex } from '../../metadata-index.ts';
import type { Trx } from '../../store.ts';
import { Batch } from './batch.ts';
import { countActive } from './living.ts';
import { disorderOf, OrdinalCounters } from './ordinals.ts';
import { indexedPairs, PairCollector } from './pairs.ts';
import { ordinalOf, positionOf } from './positions.ts';
import { removeAllPairs, reorder } from './reindex.ts';
import { countMatches, newest } from './search.ts';

/**
 * Posting lists in the table `sandbox_metadata`; see pairs.ts for what is indexed and positions.ts
 * for where.
 */
export const index: MetadataIndex = {
  batch: (trx) => new Batch(trx),
  replace,
  move,
  remove,
  removeAll: removeAllPairs,
  restoreOrder: async (trx, ownerId) => {
    if ((await disorderOf(trx, ownerId)) > 0) await reorder(trx, ownerId);
  },
  newest,
  count: countMatches,
  countActive,
};

type Entry = { ordinal: number; metadata: JsonObject };

async function replace(trx: Trx, ownerId: number, id: string, metadata: JsonObject): Promise<void> {
  const old = await entryOf(trx, id);
  await reindex(trx, ownerId, old, { ordinal: old.ordinal, metadata });
}

/** A new run gets a new ordinal, because the order of ordinals is the order of starts. */
async function move(trx: Trx, ownerId: number, id: string, startedAt: number): Promise<number> {
  const old = await entryOf(trx, id);
  const ordinals = new OrdinalCounters(trx);
  const ordinal = await ordinals.claim(ownerId, startedAt);
  await ordinals.save();
  await reindex(trx, ownerId, old, { ordinal, metadata: old.metadata });
  return positionOf(ownerId, ordinal);
}

async function remove(trx: Trx, sandboxes: Indexed[]): Promise<void> {
  const pairs = new PairCollector();
  for (const { position, ownerId, metadata } of sandboxes) {
    pairs.add(ownerId, ordinalOf(position), indexedPairs(parseJson(metadata) as JsonObject));
  }
  await pairs.remove(trx);
}

async function entryOf(trx: Trx, id: string): Promise<Entry> {
  const found = trx.selectFrom('sandboxes').select(['position', 'metadata']).where('id', '=', id);
  const { position, metadata } = await found.executeTakeFirstOrThrow();
  return { ordinal: ordinalOf(position), metadata: parseJson(metadata) as JsonObject };
}

/** Writes only the pairs in which two entries of one sandbox differ. */
async function reindex(trx: Trx, ownerId: number, from: Entry, to: Entry): Promise<void> {
  const [old, wanted] = [indexedPairs(from.metadata), indexedPairs(to.metadata)];
  const kept = from.ordinal === to.ordinal ? new Set(old).intersection(new Set(wanted)) : new Set<string>();
  const differing = (pairs: string[]) => pairs.filter((pair) => !kept.has(pair));
  const pairs = new PairCollector();
  pairs.add(ownerId, from.ordinal, differing(old));
  await pairs.remove(trx);
  pairs.add(ownerId, to.ordinal, differing(wanted));
  await pairs.save(trx);
}
