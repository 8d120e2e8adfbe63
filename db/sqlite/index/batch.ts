import type { JsonObject } from '../../json/json.ts';
import { memoizeLast } from '../../memoize.ts';
import type { IndexBatch } from '../../metadata-index.ts';
import type { Trx } from '../../store.ts';
import { OrdinalCounters } from './ordinals.ts';
import { indexedPairs, PairCollector } from './pairs.ts';
import { positionOf } from './positions.ts';

export class Batch implements IndexBatch {
  readonly #trx: Trx;
  readonly #ordinals: OrdinalCounters;
  readonly #pairs = new PairCollector();
  readonly #pairsOf = memoizeLast(indexedPairs);

  constructor(trx: Trx) {
    this.#trx = trx;
    this.#ordinals = new OrdinalCounters(trx);
  }

  async add(sandbox: { ownerId: number; startedAt: number; metadata: JsonObject }): Promise<number> {
    const { ownerId, startedAt, metadata } = sandbox;
    const pairs = this.#pairsOf(metadata);
    const ordinal = await this.#ordinals.claim(ownerId, startedAt);
    this.#pairs.add(ownerId, ordinal, pairs);
    return positionOf(ownerId, ordinal);
  }

  get pending(): number {
    return this.#pairs.size;
  }

  async flush(): Promise<void> {
    await this.#ordinals.save();
    await this.#pairs.save(this.#trx);
  }
}
