import { hash } from 'node:crypto';
import type { Database } from 'better-sqlite3';
import { sql } from 'kysely';
import type { JsonObject } from '../../json/json.ts';
import { pairsOf } from '../../metadata.ts';
import { query } from '../../prepared.ts';
import type { Trx } from '../../store.ts';
import { difference, type Members, membersOf, union } from './members.ts';
import { chunkOf, offsetOf } from './positions.ts';

/**
 * Returns the key of a pair: the first 16 bytes of a SHA-256 over the owner and the pair, in
 * hexadecimal. That two pairs share a key is practically impossible. The table `sandbox_metadata`
 * has a posting list for each key and chunk, the owner's sandboxes that have the pair.
 */
export function pairKey(ownerId: number, pair: string): string {
  return hash('sha256', `${ownerId} ${pair}`, 'hex').slice(0, 32);
}

/** Returns the key for an owner's sandboxes whose documents have too many pairs to index. */
export function largeKey(ownerId: number): string {
  return pairKey(ownerId, largeDocument);
}

/** No document has this pair: real pairs contain an equals sign. */
const largeDocument = 'large';

/**
 * Returns the pairs to index for a document: its own, or a single one that marks it as having too
 * many.
 */
export function indexedPairs(metadata: JsonObject): string[] {
  return pairsOf(metadata) ?? [largeDocument];
}

/** Adds the SQL functions that combine posting lists. */
export function installMembers(sqlite: Database): void {
  const options = { deterministic: true, directOnly: true };
  sqlite.function('members_union', options, (a, b) => asBuffer(union(a as Members, b as Members)));
  sqlite.function('members_difference', options, (a, b) => asBuffer(difference(a as Members, b as Members)));
}

export type IndexEntry = { key: string; chunk: number; members: Members };

/**
 * Collects pairs of sandboxes, to add them to the index or remove them from it in one statement.
 */
export class PairCollector {
  /** Offsets by owner and chunk, then by pair. */
  readonly #chunks = new Map<string, { ownerId: number; chunk: number; pairs: Map<string, number[]> }>();

  #size = 0;

  /** Adds the pairs of a document, which `indexedPairs` returned. */
  add(ownerId: number, ordinal: number, documentPairs: string[]): void {
    const pairs = this.#pairsOf(ownerId, chunkOf(ordinal));
    const offset = offsetOf(ordinal);
    for (const pair of documentPairs) {
      const offsets = pairs.get(pair);
      if (offsets) offsets.push(offset);
      else {
        pairs.set(pair, [offset]);
        this.#size++;
      }
    }
  }

  /** The number of index entries to write. */
  get size(): number {
    return this.#size;
  }

  /** Returns the collected entries: the posting list of each pair and chunk. */
  entries(): IndexEntry[] {
    return [...this.#chunks.values()].flatMap(({ ownerId, chunk, pairs }) =>
      [...pairs].map(([pair, offsets]) => ({ key: pairKey(ownerId, pair), chunk, members: membersOf(offsets) })),
    );
  }

  /** Adds the collected entries to the index and clears the collection. */
  async save(trx: Trx): Promise<void> {
    await upsertMembers(trx, { rows: this.#take() });
  }

  /** Removes the collected entries from the index and clears the collection. */
  async remove(trx: Trx): Promise<void> {
    const rows = this.#take();
    await removeMembers(trx, { rows });
    await deleteEmpty(trx, { rows });
  }

  #take(): string {
    const rows = this.entries().map(
      ({ key, chunk, members }) => `["${key}",${chunk},"${asBuffer(members).toString('hex')}"]`,
    );
    this.#chunks.clear();
    this.#size = 0;
    // In the order of the table, so that adjacent entries are written together.
    return `[${rows.sort().join(',')}]`;
  }

  #pairsOf(ownerId: number, chunk: number): Map<string, number[]> {
    const key = `${ownerId} ${chunk}`;
    const known = this.#chunks.get(key) ?? { ownerId, chunk, pairs: new Map() };
    this.#chunks.set(key, known);
    return known.pairs;
  }
}

function asBuffer(members: Members): Buffer {
  return Buffer.from(members.buffer, members.byteOffset, members.length);
}

const upsertMembers = query<{ rows: string }, unknown>((db, value) =>
  sql`
    insert into sandbox_metadata (pair, chunk, members)
    select unhex(value ->> 0), value ->> 1, unhex(value ->> 2) from json_each(${value('rows')}) where true
    on conflict do update set members = members_union(members, excluded.members)
  `.compile(db),
);

const removeMembers = query<{ rows: string }, unknown>((db, value) =>
  sql`
    update sandbox_metadata set members = members_difference(sandbox_metadata.members, gone.members)
    from (
      select unhex(value ->> 0) as pair, value ->> 1 as chunk, unhex(value ->> 2) as members
      from json_each(${value('rows')})
    ) as gone
    where sandbox_metadata.pair = gone.pair and sandbox_metadata.chunk = gone.chunk
  `.compile(db),
);

const deleteEmpty = query<{ rows: string }, unknown>((db, value) =>
  sql`
    delete from sandbox_metadata
    where (pair, chunk) in (select unhex(value ->> 0), value ->> 1 from json_each(${value('rows')})) and members = x''
  `.compile(db),
);
