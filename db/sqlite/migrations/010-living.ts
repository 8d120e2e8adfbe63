import type { Database } from 'better-sqlite3';
import { type JsonObject, parseJson } from '../../json/json.ts';
import { allPairsOf, maxIndexedPairs } from '../../metadata.ts';
import { difference, type Members, membersOf, union } from '../index/members.ts';
import { largeKey, pairKey } from '../index/pairs.ts';
import { chunkOf, offsetOf, ordinalOf } from '../index/positions.ts';

/**
 * Adds indexes that hold the status of sandboxes that have not ended, so that filtering and
 * counting them reads no rows. Also reduces documents with very many pairs to one entry of the
 * metadata index.
 */
export const living = {
  id: 10,
  name: 'living',
  sql: `
    create index sandboxes_living on sandboxes (position, status, end_at, on_timeout) where status <> 'killed';
    drop index sandboxes_live;
    create index sandboxes_live on sandboxes (owner_id, started_at desc, id, status, end_at, on_timeout, template_id)
      where status <> 'killed';
    create index snapshots_by_sandbox on snapshots (owner_id, sandbox_id, created_at desc, id);
  `,
  apply: indexLargeDocuments,
};

type Row = { position: number; ownerId: number; metadata: string };

function indexLargeDocuments(sqlite: Database): void {
  const next = sqlite.prepare<[number, number], Row>(
    `select position, owner_id as ownerId, metadata from sandboxes
    where position > ? and octet_length(metadata) > ? order by position limit 1`,
  );
  const change = changer(sqlite);
  // A pair takes at least two characters.
  const fewest = maxIndexedPairs * 2;
  for (let row = next.get(-1, fewest); row; row = next.get(row.position, fewest)) {
    const pairs = allPairsOf(parseJson(row.metadata) as JsonObject);
    if (pairs.length <= maxIndexedPairs) continue;
    const ordinal = ordinalOf(row.position);
    const [chunk, gone] = [chunkOf(ordinal), membersOf([offsetOf(ordinal)])];
    for (const pair of pairs) change(pairKey(row.ownerId, pair), chunk, (members) => difference(members, gone));
    change(largeKey(row.ownerId), chunk, (members) => union(members, gone));
  }
}

type Change = (key: string, chunk: number, change: (members: Members) => Members) => void;

function changer(sqlite: Database): Change {
  const condition = 'pair = unhex(?) and chunk = ?';
  const select = sqlite
    .prepare<[string, number], Members>(`select members from sandbox_metadata where ${condition}`)
    .pluck();
  const remove = sqlite.prepare(`delete from sandbox_metadata where ${condition}`);
  const put = sqlite.prepare('insert or replace into sandbox_metadata (pair, chunk, members) values (unhex(?), ?, ?)');
  return (key, chunk, change) => {
    const members = change(select.get(key, chunk) ?? new Uint8Array(0));
    if (members.length === 0) remove.run(key, chunk);
    else put.run(key, chunk, members);
  };
}
