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
 * The index of metadata, the table `sandbox_metadata`: for every pair of every owner, which of the owner's sandboxes
 * have it, chunk by chunk. A pair is kept as the first 16 bytes of a SHA-256 over the owner and the pair, hexadecimal
 * on this side: no two pairs will ever share one.
 */
export function pairKey(ownerId: number, pair: string): string {
  return hash('sha256', `${ownerId} ${pair}`, 'hex').slice(0, 32);
}

/** Returns the key under which an owner's sandboxes are whose documents have too many pairs to have them in the index. */
export function largeKey(ownerId: number): string {
  return pairKey(ownerId, largeDocument);
}

/** A pair of no document: those have an equals sign. */
const largeDocument = 'large';

/** Returns the pairs that the index has of a document: its own, or the one that says that it has too many. */
export function indexedPairs(metadata: JsonObject): string[] {
  return pairsOf(metadata) ?? [largeDocument];
}

/** Makes known to SQL what the index does with sets. */
export function installMembers(sqlite: Database): void {
  const options = { deterministic: true, directOnly: true };
  sqlite.function('members_union', options, (a, b) => asBuffer(union(a as Members, b as Members)));
  sqlite.function('members_difference', options, (a, b) => asBuffer(difference(a as Members, b as Members)));
}

export type IndexEntry = { key: string; chunk: number; members: Members };

/** Collects the pairs of sandboxes, to write them together where they are not in the index, or to take them out where they are. */
export class PairCollector {
  /** Offsets by owner and chunk, then by pair. */
  readonly #chunks = new Map<string, { ownerId: number; chunk: number; pairs: Map<string, number[]> }>();

  #size = 0;

  /** Takes the pairs of a document; `indexedPairs` returns them. */
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

  /** How many entries there are to write. */
  get size(): number {
    return this.#size;
  }

  /** Returns what the index gains: for each pair and chunk the members to add. */
  entries(): IndexEntry[] {
    return [...this.#chunks.values()].flatMap(({ ownerId, chunk, pairs }) =>
      [...pairs].map(([pair, offsets]) => ({ key: pairKey(ownerId, pair), chunk, members: membersOf(offsets) })),
    );
  }

  /** Writes it, and begins anew. */
  async save(trx: Trx): Promise<void> {
    await upsertMembers(trx, { rows: this.#take() });
  }

  /** Takes it out of the index, and begins anew. */
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
    // In the order of the table: neighbours are written together.
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
